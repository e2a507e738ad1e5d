//! Requests in the form of API Gateway's HTTP API, and its answers.

use serde_json::{Value, json};

/// A request to a function.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    source_ip: String,
}

/// The answer of a function.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Value,
    pub(crate) body: Value,
}

impl Call {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: Vec::new(),
            body: None,
            source_ip: "203.0.113.9".to_owned(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn headers(mut self, headers: Vec<(String, String)>) -> Self {
        self.headers.extend(headers);
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json")
            .body(&body.to_string())
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    pub(crate) fn from(mut self, source_ip: &str) -> Self {
        self.source_ip = source_ip.to_owned();
        self
    }

    pub(crate) fn event(&self) -> Value {
        let headers: serde_json::Map<String, Value> = self
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": self.path,
            "rawQueryString": self.query,
            "headers": headers,
            "requestContext": {
                "accountId": "1",
                "apiId": "a",
                "domainName": "a.example",
                "domainPrefix": "a",
                "http": {
                    "method": self.method,
                    "path": self.path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": self.source_ip,
                    "userAgent": "test",
                },
                "requestId": "request-1",
                "routeKey": "$default",
                "stage": "$default",
                "time": "21/Nov/2026:00:00:00 +0000",
                "timeEpoch": 1_795_219_200_000_i64,
            },
            "body": self.body,
            "isBase64Encoded": false,
        })
    }
}

impl Answer {
    pub(crate) fn read(answer: &Value) -> Self {
        let text = answer["body"].as_str().unwrap_or_default();
        Self {
            status: answer["statusCode"]
                .as_u64()
                .and_then(|code| code.try_into().ok())
                .unwrap(),
            headers: answer["headers"].clone(),
            body: serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        }
    }
}
