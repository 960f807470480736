//! Money in integer minor units of an ISO 4217 currency, a decimal string in JSON.

use std::fmt;

use serde::{Deserialize, Serialize};

pub use iso_currency::Currency as IsoCurrency;

/// Currencies that are in use: ISO 4217 List One as published on 2026-01-01, without funds codes (nobody pays in them)
/// and without codes that have no minor unit (gold, testing codes). Source: list-one.xml of SIX, the maintenance
/// agency, in the PyPI package `iso4217` 1.16.20260101.
const IN_USE: &str = "\
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD \
    CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS \
    GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW \
    KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR \
    MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR \
    SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX \
    USD UYU UYW UZS VED VES VND VUV WST XAD XAF XCD XCG XOF XPF YER ZAR ZMW ZWG";

/// A currency that has minor units (not gold, not the testing code). It may be one that is not used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(description = "ISO 4217.", extend("pattern" = "^[A-Z]{3}$"))
)]
#[serde(into = "String", try_from = "String")]
pub struct Currency(IsoCurrency);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMoney {
    #[error("must be an ISO 4217 currency code such as EUR")]
    Currency,
    #[error("must be the ISO 4217 code of a currency that is in use, such as EUR")]
    NotInUse,
    #[error(
        "must be a decimal number in quotes, such as \"12.50\", with at most {decimals} decimals for this currency"
    )]
    Amount { decimals: u32 },
    #[error("must be at most {} minor units, such as cents", Money::MAX_MINOR)]
    TooLarge,
    #[error("amounts in {0} and {1} cannot be added")]
    Mixed(Currency, Currency),
}

impl Currency {
    /// For stored or published amounts: the currency may have been withdrawn since.
    pub fn from_code(code: &str) -> Result<Self, BadMoney> {
        match IsoCurrency::from_code(code) {
            Some(currency) if currency.exponent().is_some() => Ok(Self(currency)),
            _ => Err(BadMoney::Currency),
        }
    }

    /// For new amounts: the currency must be in use.
    pub fn in_use(code: &str) -> Result<Self, BadMoney> {
        match IN_USE.split(' ').any(|known| known == code) {
            true => Self::from_code(code),
            false => Err(BadMoney::NotInUse),
        }
    }

    /// Digits after the decimal point: 2 for EUR, 0 for JPY, 3 for KWD.
    pub fn decimals(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }

    pub fn code(self) -> &'static str {
        self.0.code()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

impl TryFrom<String> for Currency {
    type Error = BadMoney;

    fn try_from(code: String) -> Result<Self, BadMoney> {
        Self::from_code(&code)
    }
}

/// A decimal string with all decimals of the currency that stands beside it: "12.50".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("pattern" = r"^[0-9]+(\.[0-9]+)?$"))
)]
pub struct Amount(String);

impl Amount {
    /// From minor units. Stored amounts are shown as they are; readers refuse an amount below zero.
    pub fn of(minor: i64, currency: Currency) -> Self {
        let decimals = currency.decimals() as usize;
        let sign = if minor < 0 { "-" } else { "" };
        let digits = format!("{:0>width$}", minor.unsigned_abs(), width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        let point = if decimals > 0 { "." } else { "" };
        Self(format!("{sign}{whole}{point}{fraction}"))
    }

    pub fn in_currency(&self, currency: Currency) -> Result<Money, BadMoney> {
        Money::parse(&self.0, currency)
    }
}

/// A non-negative amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

impl Money {
    /// Largest amount, in minor units: ten billion euros. Sums of 50 such lines still fit an i64.
    pub const MAX_MINOR: i64 = 1_000_000_000_000;

    /// Longest text that is read, in characters: the largest amount of any currency, and some zeros.
    pub const MAX_TEXT: usize = 18;

    pub const fn zero(currency: Currency) -> Self {
        Self { minor: 0, currency }
    }

    pub fn from_minor(minor: i64, currency: Currency) -> Result<Self, BadMoney> {
        if (0..=Self::MAX_MINOR).contains(&minor) {
            Ok(Self { minor, currency })
        } else {
            Err(BadMoney::TooLarge)
        }
    }

    /// Reads "12.5", "12.50" or "12"; no sign, no exponent, no more decimals than the currency has.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, BadMoney> {
        let decimals = currency.decimals();
        let bad = || BadMoney::Amount { decimals };
        if text.len() > Self::MAX_TEXT {
            return Err(BadMoney::TooLarge);
        }
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err(bad()),
            Some((whole, fraction)) => (whole, fraction),
            None => (text, ""),
        };
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let places = u32::try_from(fraction.len()).map_err(|_| bad())?;
        if whole.is_empty() || !digits(whole) || !digits(fraction) || places > decimals {
            return Err(bad());
        }
        let scale = |n: i64, by: u32| 10_i64.checked_pow(by).and_then(|ten| n.checked_mul(ten));
        let number = |part: &str| if part.is_empty() { Ok(0) } else { part.parse::<i64>() };
        let whole =
            number(whole).ok().and_then(|n| scale(n, decimals)).ok_or(BadMoney::TooLarge)?;
        let fraction = number(fraction).ok().and_then(|n| scale(n, decimals - places));
        let minor = fraction.and_then(|f| whole.checked_add(f)).ok_or(BadMoney::TooLarge)?;
        Self::from_minor(minor, currency)
    }

    pub const fn minor(self) -> i64 {
        self.minor
    }

    pub const fn currency(self) -> Currency {
        self.currency
    }

    pub fn times(self, quantity: u32) -> Result<Self, BadMoney> {
        let minor = self.minor.checked_mul(i64::from(quantity)).ok_or(BadMoney::TooLarge)?;
        Self::from_minor(minor, self.currency)
    }

    pub fn plus(self, other: Self) -> Result<Self, BadMoney> {
        if self.currency != other.currency {
            return Err(BadMoney::Mixed(self.currency, other.currency));
        }
        Self::from_minor(self.minor + other.minor, self.currency)
    }

    /// "12.50": always all the decimals of the currency.
    pub fn to_decimal(self) -> String {
        Amount::of(self.minor, self.currency).0
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.to_decimal(), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn currency(code: &str) -> Currency {
        Currency::from_code(code).unwrap()
    }

    #[test]
    fn each_currency_has_its_own_decimals() {
        for (code, minor, text) in [("EUR", 5, "0.05"), ("JPY", 500, "500"), ("KWD", 1234, "1.234")]
        {
            let money = Money::from_minor(minor, currency(code)).unwrap();
            assert_eq!(money.to_decimal(), text);
        }
        assert_eq!(Money::parse("1.5", currency("EUR")).unwrap().minor(), 150);
        assert!(Currency::from_code("XAU").is_err(), "gold has no minor unit");
    }

    #[test]
    fn what_is_new_is_in_a_currency_in_use_and_what_is_old_stays_readable() {
        for withdrawn in ["HRK", "BGN", "SLL", "ZWL", "CUC"] {
            assert_eq!(Currency::in_use(withdrawn), Err(BadMoney::NotInUse), "{withdrawn}");
            assert_eq!(Currency::from_code(withdrawn).map(Currency::code), Ok(withdrawn));
        }
        let (funds, metals) = (["CHE", "CLF", "USN"], ["XAU", "XAG"]);
        let nothing = ["XXX", "XTS", "XDR", "", "eur", "EU", "EUR ", "EUR USD", "R U"];
        for no_money in funds.into_iter().chain(metals).chain(nothing) {
            assert_eq!(Currency::in_use(no_money), Err(BadMoney::NotInUse), "{no_money}");
        }
    }

    /// The minor units are those of the same list.
    #[test]
    fn every_currency_in_use_has_its_decimals() {
        let none = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF";
        let three = "BHD IQD JOD KWD LYD OMR TND";
        let mut count = 0;
        for code in IN_USE.split(' ') {
            let decimals = match code {
                "UYW" => 4,
                code if three.contains(code) => 3,
                code if none.contains(code) => 0,
                _ => 2,
            };
            assert_eq!(Currency::in_use(code).map(Currency::decimals), Ok(decimals), "{code}");
            count += 1;
        }
        assert_eq!(count, 157);
    }

    #[test]
    fn what_is_not_a_plain_amount_is_refused() {
        let (too_much, too_long) = ("999999999999999999", "0000000000000000001");
        for text in
            ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "1.234", " 1", too_much, too_long]
        {
            assert!(Money::parse(text, currency("EUR")).is_err(), "{text:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn an_amount_survives_its_decimal_string(
            minor in 0..=Money::MAX_MINOR, code in prop::sample::select(vec!["EUR", "JPY", "KWD", "USD"])
        ) {
            let money = Money::from_minor(minor, currency(code)).unwrap();
            prop_assert_eq!(Money::parse(&money.to_decimal(), money.currency()).unwrap(), money);
        }

        #[test]
        fn no_text_makes_parsing_panic(text in ".{0,40}") {
            let _ = Money::parse(&text, currency("EUR"));
        }

        #[test]
        fn a_line_total_is_the_sum_of_its_units(minor in 0..1_000_000_i64, quantity in 0..100_u32) {
            let unit = Money::from_minor(minor, currency("EUR")).unwrap();
            let mut sum = Money::zero(unit.currency());
            for _ in 0..quantity {
                sum = sum.plus(unit).unwrap();
            }
            prop_assert_eq!(unit.times(quantity).unwrap(), sum);
        }
    }
}
