use super::*;

fn parts(request: axum::http::request::Builder) -> Parts {
    request.body(()).unwrap().into_parts().0
}

#[test]
fn a_route_reads_as_it_is_written() {
    for text in ["POST /api/x=webhook", "ANY /a/{b}/c=d"] {
        assert_eq!(text.parse::<Route>().unwrap().to_string(), text);
    }
    for text in [
        "POST /api/x",
        "/api/x=webhook",
        "POST api=x",
        "POST /api/x=",
    ] {
        assert_eq!(text.parse::<Route>(), Err(NoRoute), "{text}");
    }
}

#[test]
fn a_path_matches_as_a_whole() {
    let route: Route = "PATCH /users/{userId}/role=f".parse().unwrap();
    let parameters = |path| route.parameters(&Method::PATCH, path);
    let expected = BTreeMap::from([("userId".to_owned(), "a+b&c=d e".to_owned())]);
    assert_eq!(parameters("/users/a+b&c=d%20e/role"), Some(expected));
    for path in [
        "/users//role",
        "/users/a",
        "/users/a/role/",
        "/users/a/b/role",
        "/",
    ] {
        assert_eq!(parameters(path), None, "{path}");
    }
    assert_eq!(route.parameters(&Method::GET, "/users/a/role"), None);
}

#[test]
fn only_text_goes_as_text() {
    let check = |content_type: &str, body: &[u8], expected: &str, is_encoded: bool| {
        let parts = parts(Request::post("/").header("content-type", content_type));
        let route = "ANY /=f".parse().unwrap();
        let event = event(
            &parts,
            body,
            &route,
            &BTreeMap::new(),
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(event["body"], expected, "{content_type}");
        assert_eq!(event["isBase64Encoded"], is_encoded, "{content_type}");
    };
    check("application/json; charset=utf-8", b"{}", "{}", false);
    check("text/plain", "ä".as_bytes(), "ä", false);
    check("text/plain", b"\xff", "/w==", true);
    check("application/octet-stream", b"a", "YQ==", true);
}

#[test]
fn what_is_empty_is_absent() {
    let parts = parts(Request::get("/"));
    let route = "GET /=f".parse().unwrap();
    let event = event(&parts, b"", &route, &BTreeMap::new(), Timestamp::UNIX_EPOCH);
    for key in ["cookies", "body", "queryStringParameters", "pathParameters"] {
        assert_eq!(event.get(key), None, "{key}");
    }
    assert_eq!(
        event["requestContext"]["time"],
        "01/Jan/1970:00:00:00 +0000"
    );
}

#[tokio::test]
async fn an_answer_becomes_http() {
    let check = async |value: Value, status: u16, body: &str| {
        let response = answer(value).unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(
            to_bytes(response.into_body(), 100).await.unwrap(),
            body.as_bytes()
        );
    };
    check(json!({ "statusCode": 204 }), 204, "").await;
    check(
        json!({ "statusCode": 200, "body": "YQ==", "isBase64Encoded": true }),
        200,
        "a",
    )
    .await;
    check(json!({ "ok": true }), 200, r#"{"ok":true}"#).await;

    let response = answer(json!({
        "statusCode": 200,
        "headers": { "x-one": "1" },
        "multiValueHeaders": { "x-two": ["a", "b"] },
        "cookies": ["a=1", "b=2"],
    }));
    let response = response.unwrap();
    assert_eq!(response.headers()["x-one"], "1");
    assert_eq!(response.headers().get_all("x-two").iter().count(), 2);
    assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);

    assert!(answer(json!({ "statusCode": "many" })).is_none());
    assert!(answer(json!({ "statusCode": 200, "body": "%", "isBase64Encoded": true })).is_none());
}
