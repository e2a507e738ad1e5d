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

fn partial(reason: impl Into<Error>) -> Error {
    Error::Partial(Box::new(reason.into()))
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
        (Error::RequiresInvitation, 409, "requires_invitation"),
        (
            // What Clerk said of it is in the detail, which is made for the caller.
            Error::InvalidUpdate {
                detail: HUSH.to_owned(),
                fields: vec!["firstName".to_owned()],
            },
            422,
            "invalid_update_data",
        ),
        (
            Error::Unknown(clerk::Error::Unavailable(answered())),
            502,
            "clerk_unavailable",
        ),
        (
            Error::Unknown(clerk::Error::TimedOut(answered())),
            504,
            "clerk_timed_out",
        ),
        (partial(refused(403)), 502, "clerk_refused"),
        (
            partial(clerk::Error::NotFound { trace_id: None }),
            404,
            "not_found_in_clerk",
        ),
        (
            partial(Error::unprocessable("invalid_name", message, "name")),
            422,
            "invalid_name",
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
    let error = Error::InvalidUpdate {
        detail: String::new(),
        fields: fields.clone(),
    };
    assert_eq!(error.fields(), fields);
    assert_eq!(partial(error).fields(), fields);
    assert!(Error::UnsupportedMediaType.fields().is_empty());
    assert!(Error::RequiresInvitation.fields().is_empty());
}

#[test]
fn what_clerk_said_is_found_also_where_the_outcome_is_open() {
    let limited = || clerk::Error::RateLimited { retry_after: None };
    let code = |error: &Error| {
        let code = error.clerk().and_then(clerk::Error::code);
        code.map(str::to_owned)
    };
    let expected = Some("too_many_requests".to_owned());
    assert_eq!(code(&limited().into()), expected);
    assert_eq!(code(&Error::Unknown(limited())), expected);
    assert_eq!(code(&partial(limited())), expected);
    assert_eq!(code(&Error::NO_SUCH_USER), None);
    assert_eq!(code(&partial(Error::NO_SUCH_USER)), None);
}

#[test]
fn the_cause_of_an_open_outcome_is_there_for_the_log() {
    let root = |error: &Error| {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        cause.to_string()
    };
    let late = || clerk::Error::Unavailable(clerk::Cause::NoTimeLeft);
    let expected = "no time was left to ask Clerk";
    assert_eq!(root(&Error::Unknown(late())), expected);
    assert_eq!(root(&partial(late())), expected);
}
