//! The sweeper and a backlog: items of a table whose stream was off. The benchmark plays the part of DynamoDB and
//! EventBridge.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use trackops_local::say;
use trackops_testkit::build;

use crate::relay::order;
use trackops_tests::backlog::{Backlog, Faults};
use trackops_tests::lambda::{DESCRIPTORS, Function, RuntimeApi};

/// A function with this much memory (MB) has one whole processor. Source: "Configure Lambda function memory", Lambda
/// Developer Guide.
const ONE_PROCESSOR: u32 = 1769;

/// A processor is shared in slices of this length, like those of the kernel's scheduler.
const SLICE: Duration = Duration::from_millis(20);

pub async fn measure(items: usize, memory: u32) -> Result<()> {
    let sweeper = build(&["--release", "--bin", "sweep-outbox"])?;
    // An order that was just placed; all others are like it.
    let (aws, environment) = Backlog::of(items, &order(0)?, Faults::default()).await?;
    say!(
        "a backlog of {items} orders; at most {DESCRIPTORS} open files; {memory} MB, which is {} % of a processor",
        memory * 100 / ONE_PROCESSOR
    )?;
    let api = RuntimeApi::start().await?;
    let function = Function::spawn_with_files(&sweeper, &environment, &api, DESCRIPTORS)?;
    let share = Share::of(function.id(), memory)?;
    let (started, mut sweeps) = (Instant::now(), 0);
    loop {
        let swept = api.invoke(json!({"olderThanSeconds": 0}).to_string().into()).await?;
        sweeps += 1;
        let (took, left) = (started.elapsed(), aws.left());
        say!("  sweep {sweeps}: {swept}; {left} left after {} ms", took.as_millis())?;
        if left == 0 {
            break;
        }
    }
    let took = started.elapsed();
    let cpu = function.cpu().context("Linux says what a process has had of a processor")?;
    drop(share);
    let events = aws.events();
    ensure!(events == items, "the bus got {events} events for {items} items");
    let rate = items as u128 * 1000 / took.as_millis().max(1);
    let micros = cpu.as_micros() / items as u128;
    say!(
        "  {rate} items/s; CPU {micros} us an item; {} connections at once at most",
        aws.most_connections()
    )?;
    say!("  on a whole processor: some {} items/s", 1_000_000 / micros.max(1))?;
    Ok(())
}

/// Lets a process run for its share of every slice; in Lambda the memory decides this share.
struct Share {
    ends: Arc<AtomicBool>,
    process: Pid,
}

impl Share {
    fn of(process: u32, memory: u32) -> Result<Self> {
        let process = Pid::from_raw(process.try_into()?).context("no process")?;
        let ends = Arc::new(AtomicBool::new(false));
        let (ends_too, runs) = (ends.clone(), SLICE * memory.min(ONE_PROCESSOR) / ONE_PROCESSOR);
        thread::spawn(move || {
            while !ends_too.load(Ordering::Relaxed) && runs < SLICE {
                // It may have ended.
                let _ = kill_process(process, Signal::CONT);
                thread::sleep(runs);
                let _ = kill_process(process, Signal::STOP);
                thread::sleep(SLICE - runs);
            }
        });
        Ok(Self { ends, process })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = kill_process(self.process, Signal::CONT);
    }
}
