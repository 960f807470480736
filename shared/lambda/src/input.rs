//! Reading a JSON body: each field is read once, and one answer names everything that is wrong.

use std::fmt::{self, Display};
use std::mem;
use std::ops::RangeInclusive;

use serde::de::value::Error as NoSuchWord;
use serde::de::{DeserializeOwned, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use trackops_domain::money::{Currency, Money};

use crate::fields::{Advice, Fields, NO_BOOLEAN, not_within};
use crate::problem::Problem;

/// A JSON value as it was sent: with exact whole numbers, and with names that an object has twice.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    Null,
    Bool(bool),
    Integer(i128),
    /// A number with a fraction or an exponent, or one of more than 64 bits.
    Fraction,
    Text(String),
    List(Vec<Input>),
    Object(Vec<(String, Input)>),
}

/// The place of a value, and the list to which its errors are added.
pub struct At<'a> {
    fields: &'a mut Fields,
    pointer: &'a str,
}

/// The fields of an object. Take all of them before you give up with `?`: fields that nobody took are refused at the
/// end.
pub struct Object<'a> {
    fields: &'a mut Fields,
    pointer: &'a str,
    left: Vec<(String, Input)>,
}

enum Taken {
    Never,
    Once(Input),
    Again,
}

impl Input {
    /// Whether this object has something under `name`.
    pub fn has(&self, name: &str) -> bool {
        let given = |(given, value): &(String, Self)| given == name && *value != Self::Null;
        matches!(self, Self::Object(fields) if fields.iter().any(given))
    }

    /// The result of `read` on the fields of this object. `read` may return `None` only when it has refused a field.
    pub fn read<T>(self, read: impl FnMut(&mut Object<'_>) -> Option<T>) -> Result<T, Problem> {
        let mut fields = Fields::default();
        let value = object(read)(self, At { fields: &mut fields, pointer: "" });
        fields.finish()?;
        value.ok_or_else(|| Problem::internal("a field was neither taken nor refused"))
    }
}

impl Input {
    /// Like [`Self::read`], for input of other systems: fields that nobody took are ignored, and their names returned.
    pub fn read_tolerantly<T>(
        self,
        mut read: impl FnMut(&mut Object<'_>) -> Option<T>,
    ) -> Result<(T, Vec<String>), Problem> {
        let (mut fields, mut unknown) = (Fields::default(), Vec::new());
        let value = if let Self::Object(left) = self {
            let mut object = Object { fields: &mut fields, pointer: "", left };
            let value = read(&mut object);
            unknown.extend(object.left.into_iter().map(|(name, _)| Fields::excerpt(&name)));
            value
        } else {
            At { fields: &mut fields, pointer: "" }.refuse("must be an object")
        };
        fields.finish()?;
        let value =
            value.ok_or_else(|| Problem::internal("a field was neither taken nor refused"))?;
        Ok((value, unknown))
    }
}

impl At<'_> {
    fn refuse<T>(self, detail: impl Display) -> Option<T> {
        self.fields.refuse(self.pointer, detail);
        None
    }
}

impl Object<'_> {
    /// The JSON Pointer to this object.
    pub fn pointer(&self) -> &str {
        self.pointer
    }

    pub fn refuse(&mut self, name: &str, detail: impl Display) {
        self.fields.refuse(below(self.pointer, name), detail);
    }

    pub fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Input, At<'_>) -> Option<T>,
    ) -> Option<T> {
        match self.take(name) {
            Taken::Never => {
                self.refuse(name, "is missing");
                None
            }
            taken => self.value(name, taken, read),
        }
    }

    /// `null` counts as left out.
    pub fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Input, At<'_>) -> Option<T>,
    ) -> Option<T> {
        self.clearable(name, read).flatten()
    }

    /// Distinguishes `null`, which is `Some(None)`, from a field that was left out.
    pub fn clearable<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Input, At<'_>) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.take(name) {
            Taken::Never => None,
            Taken::Once(Input::Null) => Some(None),
            taken => self.value(name, taken, read).map(Some),
        }
    }

    fn take(&mut self, name: &str) -> Taken {
        let all = mem::take(&mut self.left).into_iter();
        let (mut taken, left) = all.partition::<Vec<_>, _>(|(given, _)| given == name);
        self.left = left;
        match (taken.pop(), taken.is_empty()) {
            (None, _) => Taken::Never,
            (Some((_, input)), true) => Taken::Once(input),
            (Some(_), false) => Taken::Again,
        }
    }

    fn value<T>(
        &mut self,
        name: &str,
        taken: Taken,
        read: impl FnOnce(Input, At<'_>) -> Option<T>,
    ) -> Option<T> {
        let at = At { fields: self.fields, pointer: &below(self.pointer, name) };
        match taken {
            Taken::Once(input) => read(input, at),
            Taken::Never | Taken::Again => at.refuse("must be given once"),
        }
    }

    fn refuse_what_is_left(&mut self) {
        for (name, _) in mem::take(&mut self.left) {
            self.refuse(&name, "is not a field of this request");
        }
    }
}

/// Source: RFC 6901, section 3.
fn below(pointer: &str, name: &str) -> String {
    let name = Fields::excerpt(name).replace('~', "~0").replace('/', "~1");
    format!("{pointer}/{name}")
}

/// Text of 1 to `max` characters with no control characters in it (line breaks are fine).
pub fn text(max: usize) -> impl Fn(Input, At<'_>) -> Option<String> {
    move |input, at| {
        let Input::Text(text) = input else { return at.refuse("must be a string") };
        if text.trim().is_empty() || text.chars().count() > max {
            return at.refuse(format!("must have 1 to {max} characters"));
        }
        if text.chars().any(|c| c.is_control() && c != '\n' && c != '\r') {
            return at.refuse("must not have control characters");
        }
        Some(text)
    }
}

/// Text that is parsed; the error says what it must be.
pub fn parsed<T, E: Advice>(
    parse: impl Fn(&str) -> Result<T, E>,
) -> impl Fn(Input, At<'_>) -> Option<T> {
    move |input, at| match input {
        Input::Text(text) => match parse(&text) {
            Ok(value) => Some(value),
            Err(error) => at.refuse(error),
        },
        _ => at.refuse("must be a string"),
    }
}

/// The names that a text may be.
#[derive(Debug, thiserror::Error)]
#[error("must be {0}")]
pub struct Expected<'a>(pub &'a str);

impl Advice for Expected<'_> {}

/// One of the names of an enumeration; `expected` lists them.
pub fn word<T: DeserializeOwned>(expected: &str) -> impl Fn(Input, At<'_>) -> Option<T> {
    parsed(move |text| {
        T::deserialize(text.into_deserializer()).map_err(|_: NoSuchWord| Expected(expected))
    })
}

/// An amount in a currency. In an unknown one, which was refused already, it may be any text.
pub fn amount(currency: Option<Currency>) -> impl Fn(Input, At<'_>) -> Option<Money> {
    let money = parsed(move |text| currency.map(|it| Money::parse(text, it)).transpose());
    move |input, at| money(input, at).flatten()
}

pub fn boolean(input: Input, at: At<'_>) -> Option<bool> {
    match input {
        Input::Bool(is) => Some(is),
        _ => at.refuse(NO_BOOLEAN),
    }
}

/// A whole number, written without fraction and exponent.
pub fn integer<T>(range: RangeInclusive<T>) -> impl Fn(Input, At<'_>) -> Option<T>
where
    T: TryFrom<i128> + PartialOrd + Display,
{
    move |input, at| {
        let number = match input {
            Input::Integer(number) => T::try_from(number).ok(),
            _ => None,
        };
        match number.filter(|number| range.contains(number)) {
            Some(number) => Some(number),
            None => at.refuse(not_within(&range)),
        }
    }
}

/// If a list is too long, its items are not checked.
pub fn list<T>(
    size: RangeInclusive<usize>,
    mut read: impl FnMut(Input, At<'_>) -> Option<T>,
) -> impl FnMut(Input, At<'_>) -> Option<Vec<T>> {
    move |input, at| {
        let Input::List(items) = input else { return at.refuse("must be a list") };
        if !size.contains(&items.len()) {
            let (least, most) = (size.start(), size.end());
            return at.refuse(format!("must have {least} to {most} items"));
        }
        let item = |(index, item)| {
            let pointer = format!("{}/{index}", at.pointer);
            read(item, At { fields: at.fields, pointer: &pointer })
        };
        let read: Vec<Option<T>> = items.into_iter().enumerate().map(item).collect();
        read.into_iter().collect()
    }
}

pub fn object<T>(
    mut read: impl FnMut(&mut Object<'_>) -> Option<T>,
) -> impl FnMut(Input, At<'_>) -> Option<T> {
    move |input, at| {
        let Input::Object(left) = input else { return at.refuse("must be an object") };
        let mut object = Object { fields: at.fields, pointer: at.pointer, left };
        let value = read(&mut object);
        object.refuse_what_is_left();
        value
    }
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Input;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Input, E> {
        Ok(Input::Null)
    }

    fn visit_bool<E>(self, is: bool) -> Result<Input, E> {
        Ok(Input::Bool(is))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Input, E> {
        Ok(Input::Integer(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Input, E> {
        Ok(Input::Integer(number.into()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Input, E> {
        Ok(Input::Fraction)
    }

    fn visit_str<E>(self, text: &str) -> Result<Input, E> {
        Ok(Input::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Input, E> {
        Ok(Input::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Input, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Input::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Input, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Input::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use trackops_domain::Sku;

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Cup {
        sku: Sku,
        handles: u32,
        note: Option<String>,
        colours: Option<Option<String>>,
        saucers: Vec<u32>,
    }

    fn cup(body: &mut Object<'_>) -> Option<Cup> {
        let sku = body.required("sku", parsed(str::parse));
        let handles = body.required("handles", integer(0..=2));
        let note = body.optional("note", text(5));
        let colours = body.clearable("colours", text(5));
        let size = |saucer: &mut Object<'_>| saucer.required("size", integer(1..=9));
        let saucers = body.optional("saucers", list(1..=3, object(size)));
        let saucers = saucers.unwrap_or_default();
        Some(Cup { sku: sku?, handles: handles?, note, colours, saucers })
    }

    fn read(json: &str) -> Result<Cup, Problem> {
        serde_json::from_str::<Input>(json).unwrap().read(cup)
    }

    fn refused(json: &str) -> Vec<String> {
        let errors = read(json).expect_err(json).errors.into_iter();
        errors.map(|error| format!("{} {}", error.pointer, error.detail)).collect()
    }

    #[test]
    fn what_is_missing_unknown_of_the_wrong_type_or_out_of_range_is_said_at_once() {
        let wrong = json!({
            "handles": 3, "note": "too long", "colours": 7, "price": "0.01",
            "saucers": [{"size": 1, "a/b~c": null}, {}, 7],
        });
        assert_eq!(
            refused(&wrong.to_string()),
            [
                "/sku is missing",
                "/handles must be a whole number from 0 to 2",
                "/note must have 1 to 5 characters",
                "/colours must be a string",
                "/saucers/0/a~1b~0c is not a field of this request",
                "/saucers/1/size is missing",
                "/saucers/2 must be an object",
                "/price is not a field of this request",
            ]
        );
        for other in ["[]", "null", "7", "\"sku\"", "true"] {
            assert_eq!(refused(other), [" must be an object"]);
        }
    }

    #[test]
    fn null_is_nothing_for_an_optional_field_takes_a_clearable_one_away_and_is_no_value() {
        let given = |rest: &str| read(&format!("{{\"sku\": \"CUP\", \"handles\": 1{rest}}}"));
        let plain = given("").unwrap();
        assert_eq!((plain.note.as_ref(), plain.colours.as_ref()), (None, None));
        assert_eq!(given(", \"note\": null").unwrap(), plain);
        assert_eq!(given(", \"colours\": null").unwrap().colours, Some(None));
        let missing = refused("{\"sku\": null, \"handles\": null}");
        let expected = ["/sku must be a string", "/handles must be a whole number from 0 to 2"];
        assert_eq!(missing, expected);
    }

    #[test]
    fn a_field_that_is_given_twice_is_refused_even_if_both_are_good() {
        let twice =
            "{\"sku\": \"CUP\", \"handles\": 1, \"sku\": \"CUP\", \"note\": null, \"note\": null}";
        assert_eq!(refused(twice), ["/sku must be given once", "/note must be given once"]);
    }

    #[test]
    fn an_integer_has_neither_fraction_nor_exponent_nor_more_than_it_can_hold() {
        let handles = |number: &str| format!("{{\"sku\": \"CUP\", \"handles\": {number}}}");
        assert_eq!(read(&handles("2")).unwrap().handles, 2);
        for odd in ["1.0", "1e0", "-1", "3", "-0", "18446744073709551616", "\"1\"", "[1]"] {
            assert_eq!(
                refused(&handles(odd)),
                ["/handles must be a whole number from 0 to 2"],
                "{odd}"
            );
        }
    }

    #[test]
    fn text_is_counted_in_characters_and_has_no_control_characters() {
        let note = |text: &str| {
            read(&json!({"sku": "CUP", "handles": 1, "note": text}).to_string()).is_ok()
        };
        for good in ["a", "żółty", "🍵🍵🍵🍵🍵", "a\nb\r"] {
            assert!(note(good), "{good:?}");
        }
        for bad in ["", " ", "\n", "123456", "a\u{0}b", "\u{7f}", "a\u{85}"] {
            assert!(!note(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_list_has_no_more_items_than_it_may_and_the_rest_is_not_looked_at() {
        for count in [0, 4, 20_000] {
            let saucers = vec![7; count];
            let body = json!({"sku": "CUP", "handles": 1, "saucers": saucers}).to_string();
            assert_eq!(refused(&body), ["/saucers must have 1 to 3 items"]);
        }
    }

    #[test]
    fn an_answer_lists_a_hundred_errors_at_most_and_repeats_little_of_the_input() {
        let long = "ż/".repeat(500);
        let mut body = json!({"sku": "CUP", "handles": 1, long: 1});
        for number in 0..500 {
            body[format!("unknown-{number:03}")] = json!(1);
        }
        let problem = read(&body.to_string()).unwrap_err();
        assert_eq!(problem.errors.len(), 100);
        assert!(problem.detail.is_some(), "it says that there are more");
        let longest = problem.errors.iter().map(|error| error.pointer.len()).max();
        assert!(longest.unwrap() <= 256, "{longest:?}");
    }

    proptest! {
        #[test]
        fn every_pointer_points_at_what_is_refused(name in "[a/~0 1]{1,9}") {
            let body = json!({"sku": "CUP", "handles": 1, &name: true});
            let problem = read(&body.to_string()).unwrap_err();
            prop_assert_eq!(body.pointer(&problem.errors[0].pointer), Some(&json!(true)));
        }
    }
}
