//! What can go wrong with the database, as its callers ask about it.

use std::fmt;

use tokio_postgres::error::SqlState;

/// The database refused, or did not answer.
/// Its text says nothing about the statement; the source does.
#[derive(Debug)]
pub struct Error(Cause);

#[derive(Debug)]
enum Cause {
    /// With what the server said, if it was the server.
    Postgres(tokio_postgres::Error, Option<Said>),
    TimedOut,
    /// What came back is not what the statement promises: a bug, or a missing migration.
    Unreadable(Box<dyn std::error::Error + Send + Sync>),
    /// The same rows were changed by others again and again.
    Contended,
}

/// What the server said, without the values that it names in its details: they may be people's.
#[derive(Debug, thiserror::Error)]
#[error("{message} (SQLSTATE {code})")]
struct Said {
    code: String,
    message: String,
}

impl Said {
    fn new(error: &tokio_postgres::error::DbError) -> Self {
        let code = error.code().code();
        // Data exceptions repeat the value in the message as well.
        let message = if code.starts_with("22") {
            "a value is not what it should be"
        } else {
            error.message()
        };
        Self {
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }
}

impl Error {
    pub(super) fn timed_out() -> Self {
        Self(Cause::TimedOut)
    }

    pub(super) fn unreadable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(Cause::Unreadable(cause.into()))
    }

    /// Others changed the same rows before every try of ours.
    pub(crate) fn contended() -> Self {
        Self(Cause::Contended)
    }

    /// The server cannot be reached, or is busy or going away: later it may work.
    pub fn is_unavailable(&self) -> bool {
        match &self.0 {
            Cause::TimedOut | Cause::Contended => true,
            Cause::Unreadable(_) => false,
            Cause::Postgres(error, _) => match error.code() {
                None => true,
                Some(code) => is_passing(code),
            },
        }
    }

    /// The values themselves are what the server refuses: the same again will never work.
    pub fn is_about_the_data(&self) -> bool {
        let Cause::Postgres(error, _) = &self.0 else {
            return false;
        };
        error
            .code()
            .is_some_and(|code| matches!(code.code().get(..2), Some("22" | "23")))
    }

    /// Another row has the same key, or hangs on what was to go: rows that were not there when
    /// they were looked for.
    pub fn is_about_other_rows(&self) -> bool {
        let others = [
            SqlState::UNIQUE_VIOLATION.code(),
            SqlState::FOREIGN_KEY_VIOLATION.code(),
        ];
        self.sql_state()
            .is_some_and(|state| others.contains(&state))
    }

    /// The five characters by which Postgres names the error.
    pub fn sql_state(&self) -> Option<&str> {
        match &self.0 {
            Cause::Postgres(error, _) => error.code().map(SqlState::code),
            _ => None,
        }
    }

    /// The connection died under us, or the server asks to try again.
    pub(super) fn is_worth_another_try(&self) -> bool {
        let Cause::Postgres(error, _) = &self.0 else {
            return false;
        };
        match error.code() {
            None => error.is_closed() || is_broken_pipe(error),
            Some(code) => {
                is_going_away(code)
                    || [
                        SqlState::T_R_SERIALIZATION_FAILURE,
                        SqlState::T_R_DEADLOCK_DETECTED,
                    ]
                    .contains(code)
            }
        }
    }
}

/// Connection trouble (class 08), too few resources (53), an operator (57), a conflict (40).
fn is_passing(code: &SqlState) -> bool {
    matches!(code.code().get(..2), Some("08" | "40" | "53" | "57"))
}

/// The server, or the pooler in front of it, ends this connection.
fn is_going_away(code: &SqlState) -> bool {
    matches!(
        code.code(),
        "57P01" | "57P02" | "57P05" | "08006" | "08P01" | "08003" | "08001"
    )
}

fn is_broken_pipe(error: &tokio_postgres::Error) -> bool {
    use std::error::Error as _;
    error
        .source()
        .is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        let said = error.as_db_error().map(Said::new);
        Self(Cause::Postgres(error, said))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_unavailable() {
            "The database cannot be reached right now; try again."
        } else {
            "The database refused the request."
        })
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Cause::Postgres(_, Some(said)) => Some(said),
            Cause::Postgres(error, None) => Some(error),
            Cause::Unreadable(error) => Some(error.as_ref()),
            Cause::TimedOut | Cause::Contended => None,
        }
    }
}
