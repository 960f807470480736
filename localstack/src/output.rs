//! Printing: results to stdout with `say!`, progress and hints to stderr with `note!`.
//!
//! Unlike `println!`, neither panics when nobody reads any more: `cargo local status | head -1`. And neither sends
//! control characters to the terminal: functions log paths and names, and a stranger may have chosen them.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::ops::RangeInclusive;

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
    print(&mut io::stdout().lock(), line).map_err(NotPrinted)
}

pub fn print_note(line: fmt::Arguments) {
    // If stderr cannot be written, there is no other place to report it, and the work is still useful.
    let _ = print(&mut io::stderr().lock(), line);
}

fn print(to: &mut impl Write, line: fmt::Arguments) -> io::Result<()> {
    writeln!(to, "{}", visible(&line.to_string()))
}

/// `text` for a terminal. Control characters (but not new lines and tabs) and format characters, which are invisible
/// or change the direction of text, become `\u009b` and the like. That is JSON's way to write them, so a line of JSON
/// keeps its meaning.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_shown(character) {
            shown.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    shown
}

fn is_shown(character: char) -> bool {
    matches!(character, '\n' | '\t')
        || !character.is_control() && !UNSEEN.iter().any(|range| range.contains(&character))
}

/// The format characters (category Cf) and the separators of lines and paragraphs (Zl, Zp) of Unicode 16.
const UNSEEN: [RangeInclusive<char>; 21] = [
    '\u{00ad}'..='\u{00ad}',
    '\u{0600}'..='\u{0605}',
    '\u{061c}'..='\u{061c}',
    '\u{06dd}'..='\u{06dd}',
    '\u{070f}'..='\u{070f}',
    '\u{0890}'..='\u{0891}',
    '\u{08e2}'..='\u{08e2}',
    '\u{180e}'..='\u{180e}',
    '\u{200b}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{2064}',
    '\u{2066}'..='\u{206f}',
    '\u{feff}'..='\u{feff}',
    '\u{fff9}'..='\u{fffb}',
    '\u{110bd}'..='\u{110bd}',
    '\u{110cd}'..='\u{110cd}',
    '\u{13430}'..='\u{1343f}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0001}'..='\u{e0001}',
    '\u{e0020}'..='\u{e007f}',
];

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> String {
        let mut out = Vec::new();
        print(&mut out, format_args!("{text}")).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_a_terminal_obeys_is_shown_and_not_done() {
        for (name, obeyed, shown) in [
            ("escape", '\u{1b}', "\\u001b"),
            ("backspace", '\u{8}', "\\u0008"),
            ("carriage return", '\r', "\\u000d"),
            ("delete", '\u{7f}', "\\u007f"),
            ("control sequence introducer", '\u{9b}', "\\u009b"),
            ("next line", '\u{85}', "\\u0085"),
            ("operating system command", '\u{9d}', "\\u009d"),
            ("Arabic letter mark", '\u{61c}', "\\u061c"),
            ("zero width space", '\u{200b}', "\\u200b"),
            ("left-to-right mark", '\u{200e}', "\\u200e"),
            ("right-to-left mark", '\u{200f}', "\\u200f"),
            ("line separator", '\u{2028}', "\\u2028"),
            ("left-to-right embedding", '\u{202a}', "\\u202a"),
            ("right-to-left override", '\u{202e}', "\\u202e"),
            ("left-to-right isolate", '\u{2066}', "\\u2066"),
            ("pop directional isolate", '\u{2069}', "\\u2069"),
            ("byte order mark", '\u{feff}', "\\ufeff"),
            ("tag", '\u{e0041}', "\\udb40\\udc41"),
        ] {
            assert_eq!(printed(&format!("a{obeyed}b")), format!("a{shown}b\n"), "{name}");
        }
    }

    #[test]
    fn what_people_read_stays_as_it_is() {
        for text in ["first\nsecond\tthird", "Größe 100 µm, 茶, شاي, ☕ 🍵", r"C:\new\u009b"]
        {
            assert_eq!(printed(text), format!("{text}\n"));
        }
    }

    #[test]
    fn a_log_line_of_json_says_the_same_after_it_is_shown() {
        let path = "/api/orders/\u{9b}2J\u{202e}\u{1b}]0;\u{7}\u{e0041}";
        let line = serde_json::json!({"path": path, "tag": "\\ \" \n"}).to_string();
        let shown = printed(&line);
        assert!(shown.trim_end().chars().all(is_shown), "{shown}");
        let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(read["path"], path);
        assert_eq!(read["tag"], "\\ \" \n");
    }
}
