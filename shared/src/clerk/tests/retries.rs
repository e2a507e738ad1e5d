//! The loop, against a server that does what a script says.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::time::Instant;

use super::*;

/// What the server does with one request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reply {
    /// Answers, and keeps the connection.
    Answer(u16, &'static str, &'static str),
    /// Reads the request and hangs up.
    HangUp,
    /// Reads the request and says nothing.
    Silence,
}

const ADA: Reply = Reply::Answer(200, "", r#"{"id": "user_1", "first_name": "Ada"}"#);
const INVITATION: Reply = Reply::Answer(
    200,
    "",
    r#"{"id": "inv_1", "email_address": "ada@example.org"}"#,
);
const TROUBLE: Reply = Reply::Answer(500, "", "");
const BUSY: Reply = Reply::Answer(409, "", r#"{"errors": [{"code": "resource_locked"}]}"#);

/// Answers by a script, the last line of it again and again.
pub(super) struct Server {
    url: String,
    pub(super) requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) fn start(script: &[Reply]) -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    fn serve(listener: TcpListener, script: &[Reply]) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let server = Self {
            url,
            requests: Arc::clone(&requests),
        };
        let script = script.to_vec();
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                while let Some(request) = read_request(&mut connection) {
                    let n_before = requests.lock().unwrap().len();
                    requests.lock().unwrap().push(request);
                    match script[n_before.min(script.len() - 1)] {
                        Reply::Answer(status, headers, body) => {
                            let length = body.len();
                            let head = format!("HTTP/1.1 {status} -\r\n{headers}");
                            let text = format!("{head}content-length: {length}\r\n\r\n{body}");
                            connection.write_all(text.as_bytes()).unwrap();
                        }
                        Reply::HangUp => break,
                        Reply::Silence => {
                            silent.push(connection);
                            break;
                        }
                    }
                }
            }
        });
        server
    }

    pub(super) fn client(&self) -> Client {
        Client::new(&self.url, "sk_test_hush").unwrap()
    }

    pub(super) fn n_requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

/// One request with its body; `None` when the other side has hung up.
fn read_request(connection: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(text);
            }
        }
        let mut buffer = [0; 4096];
        match connection.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(n_read) => bytes.extend_from_slice(&buffer[..n_read]),
        }
    }
}

pub(super) fn ada() -> ClerkUserId {
    "user_1".parse().unwrap()
}

fn seconds(n_seconds: u64) -> Duration {
    Duration::from_secs(n_seconds)
}

pub(super) fn within(n_seconds: u64) -> Budget {
    Budget::until(Instant::now() + seconds(n_seconds))
}

async fn get(server: &Server, budget: Budget) -> Result<User, Error> {
    server.client().user(&ada(), budget).await
}

async fn patch(server: &Server, budget: Budget) -> Result<User, Error> {
    server
        .client()
        .patch_user(&ada(), &UserPatch::default(), budget)
        .await
}

async fn post(server: &Server, budget: Budget) -> Result<Invitation, Error> {
    server
        .client()
        .create_invitation(&invitation(), budget)
        .await
}

fn invitation() -> NewInvitation {
    NewInvitation {
        email_address: "ada@example.org".to_owned(),
        ..NewInvitation::default()
    }
}

#[tokio::test]
async fn a_request_says_who_asks_and_what() {
    let server = Server::start(&[ADA]);
    let role = Map::from_iter([("role".to_owned(), json!("ADMIN"))]);
    server
        .client()
        .merge_metadata(&ada(), &role, within(5))
        .await
        .unwrap();
    let request = server.requests.lock().unwrap().remove(0);
    let lines: Vec<&str> = request.lines().collect();
    assert_eq!(lines[0], "PATCH /v1/users/user_1/metadata HTTP/1.1");
    assert!(
        lines.contains(&"authorization: Bearer sk_test_hush"),
        "{request}"
    );
    assert!(
        lines.contains(&"clerk-api-version: 2026-05-12"),
        "{request}"
    );
    assert!(lines.contains(&"user-agent: clerk-sync"), "{request}");
    assert!(
        lines.contains(&"content-type: application/json"),
        "{request}"
    );
    assert_eq!(
        *lines.last().unwrap(),
        r#"{"public_metadata":{"role":"ADMIN"}}"#
    );
}

#[tokio::test]
async fn passing_trouble_is_waited_out() {
    for trouble in [TROUBLE, BUSY, Reply::HangUp] {
        let server = Server::start(&[trouble, trouble, ADA]);
        assert!(get(&server, within(5)).await.is_ok(), "{trouble:?}");
        assert_eq!(server.n_requests(), 3, "{trouble:?}");
        let server = Server::start(&[trouble, ADA]);
        assert!(patch(&server, within(5)).await.is_ok(), "{trouble:?}");
        assert_eq!(server.n_requests(), 2, "{trouble:?}");
    }
}

#[tokio::test]
async fn lasting_trouble_ends_with_the_time() {
    let server = Server::start(&[TROUBLE]);
    let start = Instant::now();
    let error = get(&server, within(1)).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Unavailable(Cause::Answered { status: 500, .. })
        ),
        "{error:?}"
    );
    assert!(
        start.elapsed() < Duration::from_millis(1200),
        "it slept past the end"
    );
    assert!(
        (2..=8).contains(&server.n_requests()),
        "{}",
        server.n_requests()
    );
}

#[tokio::test]
async fn lasting_trouble_ends_with_the_tries() {
    let server = Server::start(&[TROUBLE]);
    get(&server, within(60)).await.unwrap_err();
    assert_eq!(server.n_requests(), 8);
}

#[tokio::test]
async fn once_is_once() {
    for trouble in [
        TROUBLE,
        BUSY,
        Reply::HangUp,
        Reply::Answer(429, "retry-after: 0\r\n", ""),
    ] {
        let server = Server::start(&[trouble, ADA]);
        assert!(
            get(&server, Budget::once(seconds(5))).await.is_err(),
            "{trouble:?}"
        );
        assert_eq!(server.n_requests(), 1, "{trouble:?}");
    }
}

#[tokio::test]
async fn what_is_refused_is_not_asked_again() {
    let refusals = [
        Reply::Answer(401, "", ""),
        Reply::Answer(404, "", r#"{"errors": [{"code": "resource_not_found"}]}"#),
        Reply::Answer(422, "", r#"{"errors": [{"code": "form_param_unknown"}]}"#),
        Reply::Answer(302, "location: /elsewhere\r\n", ""),
        Reply::Answer(200, "", r#"{"id": 1}"#),
        Reply::Answer(204, "", ""),
    ];
    for refusal in refusals {
        let server = Server::start(&[refusal, ADA]);
        assert!(get(&server, within(5)).await.is_err(), "{refusal:?}");
        assert_eq!(server.n_requests(), 1, "{refusal:?}");
    }
}

#[tokio::test]
async fn a_rate_limit_is_honored() {
    let server = Server::start(&[Reply::Answer(429, "retry-after: 1\r\n", ""), ADA]);
    let start = Instant::now();
    get(&server, within(5)).await.unwrap();
    assert!(start.elapsed() >= seconds(1), "{:?}", start.elapsed());
    assert_eq!(server.n_requests(), 2);
}

#[tokio::test]
async fn a_rate_limit_longer_than_the_budget_is_told_at_once() {
    let check = async |headers: &'static str, expected: u64| {
        let server = Server::start(&[Reply::Answer(429, headers, ""), ADA]);
        let start = Instant::now();
        let error = get(&server, within(5)).await.unwrap_err();
        assert!(start.elapsed() < seconds(1), "{:?}", start.elapsed());
        assert_eq!(error.retry_after(), Some(seconds(expected)));
        assert_eq!(server.n_requests(), 1);
    };
    check("retry-after: 60\r\n", 60).await;
    check("retry-after: 18446744073709551615\r\n", u64::MAX).await;
}

#[tokio::test]
async fn a_slow_answer_is_not_waited_for() {
    for budget in [Budget::once(Duration::from_millis(200)), within(1)] {
        let server = Server::start(&[Reply::Silence]);
        let start = Instant::now();
        let error = patch(&server, budget).await.unwrap_err();
        assert!(
            matches!(error, Error::TimedOut(Cause::Late(_))),
            "{error:?}"
        );
        assert!(error.is_outcome_unknown());
        assert!(start.elapsed() < seconds(2), "{:?}", start.elapsed());
        assert_eq!(server.n_requests(), 1);
    }
}

#[tokio::test]
async fn a_spent_budget_sends_nothing() {
    let server = Server::start(&[ADA]);
    let error = patch(&server, Budget::until(Instant::now()))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::TimedOut(Cause::NoTimeLeft)),
        "{error:?}"
    );
    assert!(!error.is_outcome_unknown());
    assert_eq!(server.n_requests(), 0);
}

#[tokio::test]
async fn a_post_that_may_have_been_carried_out_is_never_repeated() {
    for doubtful in [TROUBLE, Reply::HangUp] {
        let server = Server::start(&[doubtful, INVITATION]);
        let error = post(&server, within(5)).await.unwrap_err();
        assert!(error.is_outcome_unknown(), "{error:?}");
        assert_eq!(server.n_requests(), 1, "{doubtful:?}");
    }
    for harmless in [BUSY, Reply::Answer(429, "retry-after: 0\r\n", "")] {
        let server = Server::start(&[harmless, INVITATION]);
        assert_eq!(post(&server, within(5)).await.unwrap().id, "inv_1");
        assert_eq!(server.n_requests(), 2, "{harmless:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_tried_until_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Client::new(&format!("http://{address}"), "sk_test_hush").unwrap();
    let once = Budget::once(seconds(5));
    let error = client
        .create_invitation(&invitation(), once)
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Unavailable(Cause::NotSent(_))),
        "{error:?}"
    );
    assert!(!error.is_outcome_unknown());

    let late = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        Server::serve(TcpListener::bind(address).unwrap(), &[INVITATION])
    });
    client
        .create_invitation(&invitation(), within(10))
        .await
        .unwrap();
    assert_eq!(late.join().unwrap().n_requests(), 1);
}

#[tokio::test]
async fn a_connection_that_died_while_idle_does_not_matter() {
    let server = Server::start(&[ADA, Reply::HangUp, ADA]);
    let client = server.client();
    client.user(&ada(), within(5)).await.unwrap();
    client.user(&ada(), within(5)).await.unwrap();
    assert_eq!(server.n_requests(), 3);
}

#[tokio::test]
async fn a_write_in_doubt_is_reported_so_after_a_rate_limit() {
    let server = Server::start(&[TROUBLE, Reply::Answer(429, "retry-after: 60\r\n", "")]);
    let error = patch(&server, within(5)).await.unwrap_err();
    assert!(error.is_outcome_unknown(), "{error:?}");
    assert_eq!(server.n_requests(), 2);
}

#[tokio::test]
async fn neither_key_nor_address_shows_in_an_error() {
    let server = Server::start(&[Reply::HangUp]);
    let error = get(&server, Budget::once(seconds(5))).await.unwrap_err();
    let shown = format!("{error:?}");
    assert!(
        !shown.contains("hush") && !shown.contains("user_1"),
        "{shown}"
    );
}

#[tokio::test]
async fn each_page_of_users_has_its_address() {
    let check = async |page: UserPage, expected: &str| {
        let server = Server::start(&[Reply::Answer(200, "", "[]")]);
        let users = server.client().users(&page, within(5)).await;
        assert_eq!(users.unwrap(), []);
        let request = server.requests.lock().unwrap().remove(0);
        let expected = format!("GET /v1/users?limit=500&order_by=%2Bcreated_at&{expected} HTTP");
        assert!(request.starts_with(&expected), "{request}");
    };
    check(UserPage::Offset(500), "offset=500").await;
    check(UserPage::After { last: ada() }, "starting_after=user_1").await;
}

#[tokio::test]
async fn a_cursor_is_useless_if_clerk_does_not_know_it_ignores_it_or_lacks_its_user() {
    let check = async |reply: Reply, expected: bool| {
        let server = Server::start(&[reply]);
        let client = server.client();
        for (page, is_cursor) in [
            (UserPage::After { last: ada() }, true),
            (UserPage::Offset(500), false),
        ] {
            let once = Budget::once(seconds(5));
            let users = client.users(&page, once).await;
            let is_useless = is_cursor_useless(&page, &users);
            assert_eq!(is_useless, expected && is_cursor, "{page:?}: {reply:?}");
        }
    };
    let unknown = r#"{"errors": [{"code": "form_param_unknown"}]}"#;
    check(Reply::Answer(422, "", unknown), true).await;
    let gone = r#"{"errors": [{"code": "resource_not_found"}]}"#;
    check(Reply::Answer(404, "", gone), true).await;
    check(Reply::Answer(200, "", r#"[{"id": "user_1"}]"#), true).await;
    check(Reply::Answer(200, "", r#"[{"id": "user_2"}]"#), false).await;
    check(Reply::Answer(200, "", "[]"), false).await;
    check(TROUBLE, false).await;
}
