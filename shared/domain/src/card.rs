//! Card numbers, which we must never have: they are recognised to be refused.
//!
//! Source: ISO/IEC 7812-1: up to 19 digits, the last of which is a check digit by the Luhn algorithm (annex B). Cards
//! in use have 12 at least.

use std::ops::RangeInclusive;

const DIGITS: RangeInclusive<usize> = 12..=19;

/// Hexadecimal digits of the parts of a UUID. Source: RFC 9562, section 4.
const UUID: [usize; 5] = [8, 4, 4, 4, 12];

/// Whether the text has what looks like a card number, alone or among other things: 12 to 19 digits with a right check
/// digit, with spaces and dashes between them or not. Nine of ten other numbers of that length do not look like one.
///
/// UUIDs are passed over, and digits in the middle of letters: tokens of payment providers have those.
pub fn has_card_number(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && !is_separator(c)).any(|piece| {
        let words: Vec<&str> = piece.split(is_separator).filter(|word| !word.is_empty()).collect();
        groups(&words).split(Option::is_none).any(|groups| {
            let from = |first| (first..groups.len()).any(|last| is_card(&groups[first..=last]));
            (0..groups.len()).any(from)
        })
    })
}

/// Those that people and pages put between the digits.
fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, '-' | '\u{ad}' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

/// The digits that stand next to each other; `None` is what keeps those before it from those behind it.
fn groups<'a>(words: &[&'a str]) -> Vec<Option<&'a str>> {
    let (mut groups, mut left) = (Vec::new(), words);
    while let Some((word, rest)) = left.split_first() {
        if let Some((uuid, behind)) = left.split_at_checked(UUID.len())
            && is_uuid(uuid)
        {
            groups.push(None);
            left = behind;
            continue;
        }
        left = rest;
        let is_letter = |c: char| !c.is_ascii_digit();
        match (word.find(is_letter), word.rfind(is_letter)) {
            (Some(first), Some(last)) => {
                let (before, behind) = (&word[..first], &word[last + 1..]);
                groups.extend([Some(before), None, Some(behind)]);
            }
            _ => groups.push(Some(word)),
        }
    }
    groups
}

fn is_uuid(words: &[&str]) -> bool {
    let is_hex = |word: &str| word.bytes().all(|byte| byte.is_ascii_hexdigit());
    words.iter().map(|word| word.len()).eq(UUID) && words.iter().all(|word| is_hex(word))
}

fn is_card(groups: &[Option<&str>]) -> bool {
    let digits = groups.iter().flatten().flat_map(|digits| digits.bytes());
    let digits: Vec<u32> = digits.map(|digit| u32::from(digit - b'0')).collect();
    DIGITS.contains(&digits.len()) && passes_luhn(&digits)
}

fn passes_luhn(digits: &[u32]) -> bool {
    let weighed = digits.iter().rev().enumerate().map(|(place, digit)| match place % 2 {
        0 => *digit,
        // The digits of the double, added up.
        _ => digit * 2 / 10 + digit * 2 % 10,
    });
    weighed.sum::<u32>() % 10 == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Numbers that payment providers publish for tests.
    const CARDS: [&str; 8] = [
        "4111111111111111",
        "4222222222222",
        "5555555555554444",
        "378282246310005",
        "30569309025904",
        "6011111111111117",
        "3530111333300000",
        "6304000000000000",
    ];

    #[test]
    fn a_card_number_is_found_however_it_is_written() {
        for card in CARDS {
            assert!(has_card_number(card), "{card}");
        }
        for written in [
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "4111\u{2013}1111\u{a0}1111\n1111",
            "3782 822463 10005",
            "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
            " 4111  1111 -- 1111 1111 ",
        ] {
            assert!(has_card_number(written), "{written:?}");
        }
    }

    #[test]
    fn a_card_number_is_found_among_other_things() {
        for text in [
            "card:4111111111111111",
            "card_4111-1111-1111-1111",
            "card4111111111111111",
            "4111111111111111visa",
            "Visa 4111 1111 1111 1111 12/27 123",
            "4111-1111-1111-1111 12 27 123",
            "12/27, 4111111111111111, 123",
            "{\"number\":\"4111111111111111\"}",
            "550e8400-e29b-41d4-a716-446655440000 4111111111111111",
        ] {
            assert!(has_card_number(text), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_card_number_is_none() {
        for text in [
            "",
            "tok_ok",
            "tok_pending_ok",
            "pm_1MqLiJLkdIwHu7ixUEgbFdYX",
            // A wrong check digit, a digit too few, and too many.
            "4111111111111112",
            "79927398713",
            "41111111111111111115",
            // The check digits of both would be right: a UUID, and digits in the middle of a token.
            "550e8400-e29b-41d4-a716-411111111117",
            "tok_a4111111111111111f",
            "4111:1111:1111:1111",
        ] {
            assert!(!has_card_number(text), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_number_with_its_check_digit_is_found_and_with_another_one_it_is_not(
            digits in "[0-9]{11,18}", between in "[ -]{0,2}", wrong in 1..10_u32, around in "[:_/,]{0,2}",
        ) {
            let with = |check: u32| {
                let digits: Vec<String> = format!("{digits}{check}").chars().map(String::from).collect();
                format!("{around}{}{around}", digits.join(&between))
            };
            let right = |check: &u32| {
                let all: Vec<u32> = format!("{digits}{check}").bytes().map(|b| u32::from(b - b'0')).collect();
                passes_luhn(&all)
            };
            let right: Vec<u32> = (0..10).filter(right).collect();
            prop_assert_eq!(right.len(), 1);
            prop_assert!(has_card_number(&with(right[0])));
            if between.is_empty() {
                prop_assert!(!has_card_number(&with((right[0] + wrong) % 10)));
            }
        }

        #[test]
        fn any_text_has_one_or_not_without_panic(text in ".{0,128}") {
            has_card_number(&text);
        }
    }
}
