//! Reading what a request carries: typed fields of a JSON body and of a query string.

use jiff::Timestamp;
use serde_json::{Map, Value};
use url::form_urlencoded;

use crate::error::Error;

/// A field of a body: not sent, sent as `null`, or sent with a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Field<T> {
    Absent,
    Null,
    Is(T),
}

impl<T> Field<T> {
    /// Writes the field over `target`, if it was sent; `null` clears.
    pub(crate) fn apply(self, target: &mut Option<T>) {
        match self {
            Self::Absent => {}
            Self::Null => *target = None,
            Self::Is(value) => *target = Some(value),
        }
    }

    /// The value, if there is one.
    pub(crate) fn value(self) -> Option<T> {
        match self {
            Self::Absent | Self::Null => None,
            Self::Is(value) => Some(value),
        }
    }

    fn and_then<U>(self, f: impl FnOnce(T) -> Result<U, Error>) -> Result<Field<U>, Error> {
        Ok(match self {
            Self::Absent => Field::Absent,
            Self::Null => Field::Null,
            Self::Is(value) => Field::Is(f(value)?),
        })
    }
}

/// The fields of a JSON body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params(Map<String, Value>);

impl Params {
    pub(crate) fn new(fields: Map<String, Value>) -> Self {
        Self(fields)
    }

    /// Refuses every field that is not named.
    pub(crate) fn only(&self, names: &[&str]) -> Result<(), Error> {
        match self.0.keys().find(|key| !names.contains(&key.as_str())) {
            Some(key) => Err(Error::unknown(key)),
            None => Ok(()),
        }
    }

    /// Was any of these sent?
    pub(crate) fn names_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.0.contains_key(*name))
    }

    pub(crate) fn raw(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(crate) fn string(&self, name: &str) -> Result<Field<String>, Error> {
        self.field(name, "string", |value| value.as_str().map(str::to_owned))
    }

    /// A text in which `""` stands for `null`.
    pub(crate) fn text(&self, name: &str) -> Result<Field<String>, Error> {
        Ok(match self.string(name)? {
            Field::Is(text) if text.is_empty() => Field::Null,
            other => other,
        })
    }

    pub(crate) fn required_string(&self, name: &str) -> Result<String, Error> {
        self.text(name)?.value().ok_or_else(|| Error::missing(name))
    }

    pub(crate) fn email(&self, name: &str) -> Result<String, Error> {
        parse_email(name, &self.required_string(name)?)
    }

    pub(crate) fn bool(&self, name: &str) -> Result<Field<bool>, Error> {
        self.field(name, "boolean", Value::as_bool)
    }

    pub(crate) fn int(&self, name: &str) -> Result<Field<i64>, Error> {
        self.field(name, "integer", Value::as_i64)
    }

    pub(crate) fn strings(&self, name: &str) -> Result<Field<Vec<String>>, Error> {
        self.field(name, "array", |value| {
            let items = value.as_array()?;
            items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect()
        })
    }

    /// An RFC 3339 time, in Unix milliseconds.
    pub(crate) fn time(&self, name: &str) -> Result<Field<i64>, Error> {
        self.string(name)?.and_then(|text| {
            text.parse::<Timestamp>()
                .map(Timestamp::as_millisecond)
                .map_err(|_| Error::wrong_format(name, "a time in RFC 3339 format"))
        })
    }

    fn field<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Field<T>, Error> {
        match self.0.get(name) {
            None => Ok(Field::Absent),
            Some(Value::Null) => Ok(Field::Null),
            Some(value) => match read(value) {
                Some(value) => Ok(Field::Is(value)),
                None => Err(Error::wrong_type(name, expected)),
            },
        }
    }
}

/// An e-mail address in the form in which Clerk keeps it.
pub(crate) fn parse_email(name: &str, text: &str) -> Result<String, Error> {
    let refused = || Error::wrong_format(name, "a valid email address");
    let (local, domain) = text.split_once('@').ok_or_else(refused)?;
    let is_plain = |part: &str| {
        !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c == '@' || c == ',')
    };
    if !is_plain(local) || !is_plain(domain) || !domain.contains('.') {
        return Err(refused());
    }
    Ok(text.to_lowercase())
}

/// A query string; a name may occur several times.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        Self(
            form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    /// The first value under this name.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Every value under this name; a list holds at most a hundred.
    pub(crate) fn all(&self, name: &str) -> Result<Vec<&str>, Error> {
        let values: Vec<&str> = self
            .0
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .collect();
        if values.len() > 100 {
            return Err(Error::wrong_value(
                name,
                &format!("{name} accepts at most 100 values."),
            ));
        }
        Ok(values)
    }

    pub(crate) fn bool(&self, name: &str) -> Result<Option<bool>, Error> {
        match self.first(name) {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(_) => Err(Error::wrong_type(name, "boolean")),
        }
    }

    pub(crate) fn int(&self, name: &str) -> Result<Option<i64>, Error> {
        self.first(name)
            .map(|text| text.parse().map_err(|_| Error::wrong_type(name, "integer")))
            .transpose()
    }

    /// How many to skip and how many to return.
    pub(crate) fn page(&self) -> Result<Page, Error> {
        let limit = self.int("limit")?.unwrap_or(10);
        if !(1..=500).contains(&limit) {
            return Err(Error::wrong_value(
                "limit",
                "limit must be between 1 and 500.",
            ));
        }
        let offset = usize::try_from(self.int("offset")?.unwrap_or(0))
            .map_err(|_| Error::wrong_value("offset", "offset must not be negative."))?;
        Ok(Page {
            offset,
            limit: usize::try_from(limit).unwrap_or(500),
        })
    }
}

/// A part of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    pub(crate) offset: usize,
    pub(crate) limit: usize,
}
