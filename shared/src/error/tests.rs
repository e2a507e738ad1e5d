//! Every kind of error: what the caller gets, and what they never see.

use std::error::Error as _;
use std::io;

use super::*;

/// Stands in every cause, and may stand in no answer.
const HUSH: &str = "hush-42";

fn hush() -> Box<dyn std::error::Error + Send + Sync> {
    io::Error::other(HUSH).into()
}

fn config(part: config::Part) -> Error {
    config::Error {
        part,
        variable: "A_SETTING",
        problem: HUSH,
    }
    .into()
}

#[test]
fn every_kind_has_its_status_its_code_and_no_cause_in_its_text() {
    let refused = |status| clerk::Error::Refused {
        status,
        code: HUSH.to_owned(),
        message: HUSH.to_owned(),
        param: Some(HUSH.to_owned()),
        trace_id: Some(HUSH.to_owned()),
    };
    let answered = || clerk::Cause::Answered {
        status: 500,
        code: HUSH.to_owned(),
        retry_after: None,
        trace_id: Some(HUSH.to_owned()),
    };
    let message = "A sentence for people.";
    let cases: Vec<(Error, u16, &str)> = vec![
        (config(config::Part::Clerk), 500, "not_configured"),
        (config(config::Part::Database), 500, "not_configured"),
        (config(config::Part::Webhook), 500, "not_configured"),
        (config(config::Part::Limits), 500, "not_configured"),
        (
            auth::Error::from(auth::Reason::TokenExpired).into(),
            401,
            "not_signed_in",
        ),
        (
            auth::Error::KeysUnavailable(hush()).into(),
            503,
            "keys_unavailable",
        ),
        (webhook::Error::BadSignature.into(), 400, "bad_signature"),
        (
            webhook::Error::MissingHeader("svix-id").into(),
            400,
            "bad_signature",
        ),
        (webhook::Error::OutOfTime.into(), 400, "bad_signature"),
        (webhook::Error::NotLocal.into(), 400, "bad_signature"),
        (
            clerk::Error::NotFound {
                trace_id: Some(HUSH.to_owned()),
            }
            .into(),
            404,
            "not_found_in_clerk",
        ),
        (
            clerk::Error::Unauthorized { trace_id: None }.into(),
            502,
            "clerk_refused_our_key",
        ),
        (refused(422).into(), 502, "clerk_refused"),
        (
            clerk::Error::RateLimited { retry_after: None }.into(),
            502,
            "clerk_rate_limited",
        ),
        (
            clerk::Error::Unavailable(answered()).into(),
            502,
            "clerk_unavailable",
        ),
        (
            clerk::Error::TimedOut(answered()).into(),
            504,
            "clerk_timed_out",
        ),
        (db::Error::contended().into(), 503, "database_unavailable"),
        (
            Error::Forbidden {
                code: "admins_only",
                message,
            },
            403,
            "admins_only",
        ),
        (
            Error::NotFound {
                code: "user_not_found",
                message,
            },
            404,
            "user_not_found",
        ),
        (
            Error::MethodNotAllowed {
                allow: "GET, PATCH",
            },
            405,
            "method_not_allowed",
        ),
        (
            Error::Conflict {
                code: "last_admin",
                message,
            },
            409,
            "last_admin",
        ),
        (Error::TooLarge { limit: 10 }, 413, "body_too_large"),
        (Error::UnsupportedMediaType, 415, "unsupported_media_type"),
        (
            Error::Unprocessable {
                code: "invalid_role",
                message: message.to_owned(),
                fields: vec!["role".to_owned()],
            },
            422,
            "invalid_role",
        ),
        (Error::Internal(hush()), 500, "internal"),
    ];
    for (error, status, code) in cases {
        let (actual_status, actual_code) = error.status_and_code();
        assert_eq!(
            (actual_status.as_u16(), actual_code),
            (status, code),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(!text.contains(HUSH), "{text}");
        assert!(!text.is_empty() && !text.contains('\n'), "{text}");
    }
}

#[test]
fn the_cause_is_there_for_the_log() {
    let error = Error::Internal(hush());
    assert_eq!(error.source().unwrap().to_string(), HUSH);
    let error = Error::from(auth::Error::from(auth::Reason::TokenExpired));
    assert_eq!(error.source().unwrap().to_string(), "token-expired");
}

#[test]
fn only_a_422_names_fields() {
    let fields = vec!["role".to_owned()];
    let error = Error::Unprocessable {
        code: "invalid_role",
        message: String::new(),
        fields: fields.clone(),
    };
    assert_eq!(error.fields(), fields);
    assert!(Error::UnsupportedMediaType.fields().is_empty());
}
