//! What a request carries, turned into types: the body and the query.

use std::fmt::Display;

use ::http::header::CONTENT_TYPE;
use serde::de::value::{Error as PlainError, MapDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::Request;
use crate::{Error, Result};

/// The longest body that a route takes, in bytes.
pub const BODY_LIMIT: usize = 256 * 1024;

/// The body, unless it is too long.
pub fn body_within(request: &Request, limit: usize) -> Result<&[u8]> {
    if request.body.len() > limit {
        return Err(Error::TooLarge { limit });
    }
    Ok(&request.body)
}

/// The body as JSON; every field that the type does not know is named in the refusal.
pub fn json<T: DeserializeOwned>(request: &Request) -> Result<T> {
    let content_type = request
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(is_json) {
        return Err(Error::UnsupportedMediaType);
    }
    let body = body_within(request, BODY_LIMIT)?;
    let code = "invalid_body";
    // A list would be taken for the fields in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(invalid(code, "The body is not a JSON object.", Vec::new()));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let input = read(&mut json, code)?;
    match json.end() {
        Ok(()) => Ok(input),
        Err(_) => Err(invalid(code, "The body goes on after its end.", Vec::new())),
    }
}

/// Nothing, which is what a route without fields takes: no body, or an empty object.
pub fn no_body(request: &Request) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Nothing {}

    if body_within(request, BODY_LIMIT)?.trim_ascii().is_empty() {
        return Ok(());
    }
    let Nothing {} = json(request)?;
    Ok(())
}

/// The parameters of the query; what is unknown, repeated or malformed is named in the refusal.
pub fn query<T: DeserializeOwned>(request: &Request) -> Result<T> {
    let code = "invalid_query";
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in &request.query {
        // Nothing that is looked for can hold one, and Postgres would refuse it.
        if value.contains('\0') {
            return Err(invalid(
                code,
                "A parameter holds a NUL character:",
                vec![name.clone()],
            ));
        }
        if seen.contains(&name.as_str()) {
            return Err(invalid(
                code,
                "A parameter is given twice:",
                vec![name.clone()],
            ));
        }
        seen.push(name);
    }
    let pairs = request
        .query
        .iter()
        .map(|(name, value)| (name.as_str(), Text(value)));
    read(MapDeserializer::<_, PlainError>::new(pairs), code)
}

fn read<'de, T, D>(input: D, code: &'static str) -> Result<T>
where
    T: DeserializeOwned,
    D: Deserializer<'de>,
    D::Error: Display,
{
    let mut unknown = Vec::new();
    let mut note = |path: serde_ignored::Path<'_>| unknown.push(name(&path.to_string()));
    let input = serde_ignored::Deserializer::new(input, &mut note);
    let result = serde_path_to_error::deserialize(input);
    if !unknown.is_empty() {
        return Err(invalid(code, "These fields are not known here:", unknown));
    }
    result.map_err(|error| {
        let place = name(&error.path().to_string());
        let problem = error.inner().to_string();
        let kinds = [
            ("missing field ", "A field is missing:"),
            ("unknown field ", "This field is not known here:"),
            ("duplicate field ", "A field is given twice:"),
        ];
        for (start, what) in kinds {
            if let Some(field) = quoted_after(start, &problem) {
                return invalid(code, what, vec![below(&place, field)]);
            }
        }
        if place.is_empty() {
            return invalid(
                code,
                "This is not the JSON that is expected here.",
                Vec::new(),
            );
        }
        invalid(code, "This field is not what it should be:", vec![place])
    })
}

fn invalid(code: &'static str, what: &str, fields: Vec<String>) -> Error {
    let message = match fields.as_slice() {
        [] => what.to_owned(),
        fields => format!("{what} {}.", fields.join(", ")),
    };
    Error::Unprocessable {
        code,
        message,
        fields,
    }
}

/// A path as the caller would write it: neither the root nor an optional step has a name.
fn name(path: &str) -> String {
    let steps: Vec<&str> = path
        .split('.')
        .filter(|step| !matches!(*step, "" | "?"))
        .collect();
    steps.join(".")
}

fn below(place: &str, field: &str) -> String {
    if place.is_empty() {
        field.to_owned()
    } else {
        format!("{place}.{field}")
    }
}

fn quoted_after<'a>(start: &str, problem: &'a str) -> Option<&'a str> {
    let (field, _) = problem
        .strip_prefix(start)?
        .strip_prefix('`')?
        .split_once('`')?;
    Some(field)
}

fn is_json(content_type: &str) -> bool {
    let (media_type, _) = content_type.split_once(';').unwrap_or((content_type, ""));
    media_type.trim().eq_ignore_ascii_case("application/json")
}

/// A parameter: text that stands for whatever the field is.
struct Text<'a>(&'a str);

impl<'de> IntoDeserializer<'de, PlainError> for Text<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parse {
    ($($method:ident $visit:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, PlainError> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => visitor.visit_borrowed_str(self.0),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Text<'de> {
    type Error = PlainError;

    fn deserialize_any<V: Visitor<'de>>(
        self,
        visitor: V,
    ) -> std::result::Result<V::Value, PlainError> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(
        self,
        visitor: V,
    ) -> std::result::Result<V::Value, PlainError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> std::result::Result<V::Value, PlainError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> std::result::Result<V::Value, PlainError> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    parse! {
        deserialize_bool visit_bool
        deserialize_i8 visit_i8
        deserialize_i16 visit_i16
        deserialize_i32 visit_i32
        deserialize_i64 visit_i64
        deserialize_u8 visit_u8
        deserialize_u16 visit_u16
        deserialize_u32 visit_u32
        deserialize_u64 visit_u64
        deserialize_f32 visit_f32
        deserialize_f64 visit_f64
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}
