//! The ports of an instance, and which process has a port that is taken.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Ports of 127.0.0.1; 0 is any free one.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Ports {
    /// Port of the local cloud: the AWS endpoint [default: 4566; 0: any free port, for the others too]
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
    /// Port of the orders API [default: 8081]
    #[arg(long, value_name = "N")]
    pub orders_port: Option<u16>,
    /// Port of the inventory API [default: 8082]
    #[arg(long, value_name = "N")]
    pub inventory_port: Option<u16>,
    /// Port of the relay API [default: 8083]
    #[arg(long, value_name = "N")]
    pub relay_port: Option<u16>,
    /// Port of the payments API [default: 8084]
    #[arg(long, value_name = "N")]
    pub payments_port: Option<u16>,
    /// Port of the local token issuer [default: 8080]
    #[arg(long, value_name = "N")]
    pub issuer_port: Option<u16>,
}

impl Ports {
    /// Every port with its flag: cloud, orders, inventory, relay, payments, issuer. Only the default instance has fixed ports, so that others never meet it.
    pub fn flags(&self, instance: &str) -> [(&'static str, u16); 6] {
        let fixed = instance == "default" && self.port != Some(0);
        let or = |asked: Option<u16>, usual| asked.unwrap_or(if fixed { usual } else { 0 });
        [
            ("--port", or(self.port, 4566)),
            ("--orders-port", or(self.orders_port, 8081)),
            ("--inventory-port", or(self.inventory_port, 8082)),
            ("--relay-port", or(self.relay_port, 8083)),
            ("--payments-port", or(self.payments_port, 8084)),
            ("--issuer-port", or(self.issuer_port, 8080)),
        ]
    }
}

/// # Errors
/// When the port is taken: the message says by which process, and which flag chooses another port.
pub fn bind(port: u16, flag: &str) -> Result<TcpListener> {
    // A process that was stopped a moment ago may not have released the port yet.
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
                "port {port} is taken by {}: stop that, or choose another port with {flag} N (0: any free one)",
                holder(port).unwrap_or_else(|| "another process".to_owned())
            ),
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("cannot listen on port {port}: choose one with {flag} N")
                });
            }
        }
    }
}

/// Which process listens on the port, as far as Linux shows it.
fn holder(port: u16) -> Option<String> {
    let socket = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .find_map(|table| listening_inode(&table, port).map(str::to_owned))?;
    let link = format!("socket:[{socket}]");
    let has_it = |process: &std::path::Path| {
        let files = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        files
            .filter_map(|file| std::fs::read_link(file.path()).ok())
            .any(|to| to.as_os_str() == link.as_str())
    };
    let is_process = |path: &std::path::Path| {
        path.file_name().is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit())
    };
    let mut paths = std::fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path());
    let process = paths.find(|path| is_process(path) && has_it(path))?;
    let command = std::fs::read_to_string(process.join("comm")).ok()?;
    Some(format!("{} (process {})", command.trim(), process.file_name()?.to_string_lossy()))
}

/// The inode of the socket that listens on `port`, from the text of `/proc/net/tcp` (proc(5)).
fn listening_inode(table: &str, port: u16) -> Option<&str> {
    const LISTEN: &str = "0A";
    let port = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(1)?.ends_with(&port) && *fields.get(3)? == LISTEN)
            .then(|| fields.get(9).copied())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_default_instance_has_fixed_ports() {
        let asked = Ports { orders_port: Some(9001), ..Ports::default() };
        assert_eq!(
            asked.flags("default").map(|(_, port)| port),
            [4566, 9001, 8082, 8083, 8084, 8080]
        );
        assert_eq!(asked.flags("test").map(|(_, port)| port), [0, 9001, 0, 0, 0, 0]);
    }

    #[test]
    fn a_free_cloud_port_frees_the_others_too() {
        let asked = Ports { port: Some(0), ..Ports::default() };
        assert_eq!(asked.flags("default").map(|(_, port)| port), [0; 6]);
    }

    #[test]
    fn a_taken_port_names_who_has_it_and_the_way_out() {
        let mine = TcpListener::bind("127.0.0.1:0").unwrap();
        let error =
            bind(mine.local_addr().unwrap().port(), "--orders-port").unwrap_err().to_string();
        assert!(error.contains("--orders-port N"), "{error}");
        if cfg!(target_os = "linux") {
            assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        }
    }

    #[test]
    fn a_listener_is_told_from_a_connection_on_the_same_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F91 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  0  0 111 1\n\
            1: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 222 1\n";
        assert_eq!(listening_inode(table, 8081), Some("222"));
        assert_eq!(listening_inode(table, 8082), None);
    }
}
