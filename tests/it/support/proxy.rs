//! A proxy in front of the database that counts how often its client waits.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Passes bytes on and counts: whenever the client speaks after the server did, a round trip
/// begins.
pub(crate) struct Proxy {
    pub(crate) url: String,
    n_round_trips: Arc<AtomicUsize>,
}

impl Proxy {
    /// In front of a database of the form `postgres://user@host:port/name`.
    pub(crate) async fn in_front_of(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (user, rest) = rest.split_once('@').unwrap();
        let (server, name) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            url: format!(
                "{scheme}://{user}@{}/{name}",
                listener.local_addr().unwrap()
            ),
            n_round_trips: Arc::default(),
        };
        let server = server.to_owned();
        let n_round_trips = Arc::clone(&proxy.n_round_trips);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                pass_both_ways(client, server, Arc::clone(&n_round_trips));
            }
        });
        proxy
    }

    /// How many round trips `work` takes.
    pub(crate) async fn count<T>(&self, work: impl Future<Output = T>) -> (T, usize) {
        self.n_round_trips.store(0, Ordering::SeqCst);
        let result = work.await;
        (result, self.n_round_trips.load(Ordering::SeqCst))
    }
}

fn pass_both_ways(client: TcpStream, server: TcpStream, n_round_trips: Arc<AtomicUsize>) {
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let is_answered = Arc::new(AtomicBool::new(true));
    let was_answered = Arc::clone(&is_answered);
    tokio::spawn(pass(from_client, to_server, move || {
        if was_answered.swap(false, Ordering::SeqCst) {
            n_round_trips.fetch_add(1, Ordering::SeqCst);
        }
    }));
    tokio::spawn(pass(from_server, to_client, move || {
        is_answered.store(true, Ordering::SeqCst);
    }));
}

async fn pass(from: OwnedReadHalf, to: OwnedWriteHalf, note: impl Fn()) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        from.readable().await?;
        let n_bytes = match from.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n_bytes) => n_bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        note();
        let mut rest = &buffer[..n_bytes];
        while !rest.is_empty() {
            to.writable().await?;
            match to.try_write(rest) {
                Ok(n_written) => rest = &rest[n_written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}
