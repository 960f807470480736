//! Printing: results to stdout with `say!`, progress and hints to stderr with `note!`.
//!
//! Unlike `println!`, neither panics when nobody reads any more: `cargo local status | head -1`.

use std::fmt;
use std::io::{self, ErrorKind, Write};

/// A result could not be printed.
#[derive(Debug)]
pub struct NotPrinted(io::Error);

impl NotPrinted {
    /// The reader has closed the pipe, as `head` does: the command ends, and this is not a failure.
    pub fn has_no_reader(&self) -> bool {
        self.0.kind() == ErrorKind::BrokenPipe
    }
}

impl fmt::Display for NotPrinted {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "cannot write to stdout")
    }
}

impl std::error::Error for NotPrinted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// As `println!`, but an error instead of a panic.
#[macro_export]
macro_rules! say {
    ($($line:tt)*) => { $crate::output::print_result(format_args!($($line)*)) };
}

/// As `eprintln!`, but silent where nobody reads.
#[macro_export]
macro_rules! note {
    ($($line:tt)*) => { $crate::output::print_note(format_args!($($line)*)) };
}

/// # Errors
/// When it cannot be written.
pub fn print_result(line: fmt::Arguments) -> Result<(), NotPrinted> {
    writeln!(io::stdout().lock(), "{line}").map_err(NotPrinted)
}

pub fn print_note(line: fmt::Arguments) {
    // If stderr cannot be written, there is no other place to report it, and the work is still useful.
    let _ = writeln!(io::stderr().lock(), "{line}");
}
