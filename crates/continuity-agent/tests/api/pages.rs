//! `/debug/*` of an agent: on the loopback alone, for whoever the API server lets look.

use std::net::SocketAddr;
use std::sync::Arc;

use continuity_agent::debug;
use continuity_agent::health::Board;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::server::Server;
use crate::{PATIENCE, snapshot, until};

async fn free(address: &str) -> SocketAddr {
    let listener = TcpListener::bind((address, 0)).await.expect("a port");
    listener.local_addr().expect("an address")
}

/// Code and body of a page, as the API server's port-forward asks for it: over a stream to the loopback.
async fn get(address: SocketAddr, page: &str, token: Option<&str>) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let token = token.map_or_else(String::new, |token| format!("x-continuity-token: {token}\r\n"));
    let request =
        format!("GET /debug/{page} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{token}\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.to_owned();
    Some((code, body.to_owned()))
}

async fn answered(address: SocketAddr, page: &str, token: Option<&str>) -> (String, String) {
    let begun = std::time::Instant::now();
    loop {
        if let Some(answer) = get(address, page, token).await {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "/debug was not served");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn pages_are_for_whoever_shows_a_token_that_the_api_server_knows_and_lets_look() {
    let server = Server::start().await;
    let address = free("127.0.0.1").await;
    let board = Arc::new(Board::default());
    board.show(snapshot(1));
    let (_loop, snapshots) = watch::channel(snapshot(1));
    let task = tokio::spawn(debug::serve(server.client(), address, board, snapshots));

    let (code, body) = answered(address, "lanes", None).await;
    assert_eq!(code, "401", "{body}");
    assert!(body.contains("kubectl create token continuity-debug"), "{body}");
    assert_eq!(
        server.asked("POST", "reviews"),
        0,
        "without a token nobody is asked"
    );
    let (code, _) = answered(address, "lanes", Some("stranger")).await;
    assert_eq!(code, "401");
    let (code, body) = answered(address, "lanes", Some("known")).await;
    assert_eq!(code, "403");
    assert!(body.contains("may not get /debug/lanes"), "{body}");

    for (page, word) in [
        ("lanes", "\"total\":0"),
        ("node", "Attached"),
        ("decisions", "fallenOff"),
    ] {
        let (code, body) = answered(address, page, Some("welcome")).await;
        assert_eq!(code, "200", "{page}: {body}");
        assert!(body.contains(word), "{page}: {body}");
    }
    let (code, body) = answered(address, "secrets", Some("welcome")).await;
    assert_eq!(code, "404");
    assert!(body.contains("there are: decisions, lanes, node"), "{body}");
    server.fail_with(Some(500));
    let (code, _) = answered(address, "lanes", Some("welcome")).await;
    assert_eq!(code, "500", "an API server in trouble lets nobody in");
    task.abort();
}

#[tokio::test]
async fn an_address_that_others_reach_is_not_served_at_all() {
    let server = Server::start().await;
    let address = free("0.0.0.0").await;
    let (_loop, snapshots) = watch::channel(snapshot(1));
    // Returns at once instead of serving.
    let served = debug::serve(server.client(), address, Arc::new(Board::default()), snapshots);
    tokio::time::timeout(PATIENCE, served).await.expect("a refusal");
    assert!(get(address, "lanes", Some("welcome")).await.is_none());
    until("nothing", || server.asked("", "/") == 0).await;
}
