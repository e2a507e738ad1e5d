//! A proxy in front of the database: it counts how often its client waits, and cuts the connection
//! wherever a test wants it cut.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes bytes on and counts: whenever the client speaks after the server did, a round trip
/// begins.
pub(crate) struct Proxy {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

/// When the client learns that its connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// When the server has done all that it was told, and is gone: what is stored by then is all
    /// that ever will be.
    AfterTheServer,
    /// At once: its next connection may meet what the server still does for the last one.
    BeforeTheServer,
}

/// What a cut is followed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// The next connection works.
    Works,
    /// All connections end, and no other is let in until [`Proxy::come_back`].
    Refuses,
}

/// How a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// Everything passes.
    Open,
    /// The server gets no more, and what it says is dropped until it goes.
    Deaf,
    /// Both sides are told that it is over.
    Over,
}

#[derive(Debug, Default)]
struct State {
    n_round_trips: usize,
    /// Messages of the client that went on to the server.
    n_messages: usize,
    /// After which of them the connection is cut, and how.
    cut_after: Option<(usize, Cut, Then)>,
    is_refusing: bool,
    links: Vec<watch::Sender<Link>>,
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
            state: Arc::default(),
        };
        let server = server.to_owned();
        let state = Arc::clone(&proxy.state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if lock(&state).is_refusing {
                    continue;
                }
                let server = TcpStream::connect(&server).await.unwrap();
                pass_both_ways(client, server, &state);
            }
        });
        proxy
    }

    /// How many round trips `work` takes.
    pub(crate) async fn count<T>(&self, work: impl Future<Output = T>) -> (T, usize) {
        lock(&self.state).n_round_trips = 0;
        let result = work.await;
        (result, lock(&self.state).n_round_trips)
    }

    /// Lets so many messages of the client pass from now on, and cuts the connection after the last
    /// of them: what the server answers to it is lost. None: instead of the first one.
    pub(crate) fn cut_after(&self, n_messages: usize, cut: Cut, then: Then) {
        let mut state = lock(&self.state);
        state.n_messages = 0;
        state.cut_after = Some((n_messages, cut, then));
    }

    /// Lets everybody in again, and cuts nothing any more; says whether there was a cut.
    pub(crate) fn come_back(&self) -> bool {
        let mut state = lock(&self.state);
        state.is_refusing = false;
        state.cut_after.take().is_none()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap()
}

impl State {
    /// How many of `n` messages still pass, and how the connection is cut then, if it is.
    fn pass(&mut self, n: usize) -> (usize, Option<(Cut, Then)>) {
        let n_passed = self.n_messages;
        match self.cut_after {
            Some((at, cut, then)) if n_passed + n >= at => {
                self.cut_after = None;
                self.n_messages = at;
                (at - n_passed, Some((cut, then)))
            }
            _ => {
                self.n_messages += n;
                (n, None)
            }
        }
    }

    /// Nobody comes in any more, and who is in has to go, but for one.
    fn refuse_others(&mut self, but: &watch::Sender<Link>) {
        self.is_refusing = true;
        for link in self.links.iter().filter(|link| !link.same_channel(but)) {
            link.send_replace(Link::Over);
        }
    }
}

fn pass_both_ways(client: TcpStream, server: TcpStream, state: &Arc<Mutex<State>>) {
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let link = watch::Sender::new(Link::Open);
    let mut all = lock(state);
    all.links.retain(|link| *link.borrow() != Link::Over);
    all.links.push(link.clone());
    drop(all);
    let is_answered = Arc::new(Mutex::new(true));
    let up = Up {
        state: Arc::clone(state),
        link: link.clone(),
        is_answered: Arc::clone(&is_answered),
        messages: Messages::default(),
    };
    tokio::spawn(until_over(
        link.subscribe(),
        up.pass(from_client, to_server),
    ));
    let over = link.subscribe();
    tokio::spawn(until_over(
        over,
        pass_down(from_server, to_client, link, is_answered),
    ));
}

async fn until_over(mut link: watch::Receiver<Link>, work: impl Future<Output = io::Result<()>>) {
    tokio::select! {
        // Who goes without a word is gone.
        _ = work => {}
        _ = link.wait_for(|link| *link == Link::Over) => {}
    }
}

/// The way of the client's messages.
struct Up {
    state: Arc<Mutex<State>>,
    link: watch::Sender<Link>,
    is_answered: Arc<Mutex<bool>>,
    messages: Messages,
}

impl Up {
    async fn pass(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let n_bytes = from.read(&mut buffer).await?;
            if n_bytes == 0 {
                return to.shutdown().await;
            }
            self.messages.push(&buffer[..n_bytes]);
            let complete = self.messages.take_complete();
            let (n_passing, cut) = self.note(complete.len());
            to.write_all(&complete[..n_passing].concat()).await?;
            let Some((cut, then)) = cut else { continue };
            if then == Then::Refuses {
                lock(&self.state).refuse_others(&self.link);
            }
            if cut == Cut::AfterTheServer {
                self.link.send_replace(Link::Deaf);
                to.shutdown().await?;
                // The server goes first, and its going ends this, too.
                std::future::pending::<()>().await;
            }
            self.link.send_replace(Link::Over);
            return Ok(());
        }
    }

    fn note(&self, n_messages: usize) -> (usize, Option<(Cut, Then)>) {
        let mut state = lock(&self.state);
        let mut is_answered = self.is_answered.lock().unwrap();
        if *is_answered {
            *is_answered = false;
            state.n_round_trips += 1;
        }
        state.pass(n_messages)
    }
}

async fn pass_down(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    link: watch::Sender<Link>,
    is_answered: Arc<Mutex<bool>>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        // A server that closes or breaks off is gone either way.
        let n_bytes = from.read(&mut buffer).await.unwrap_or(0);
        if n_bytes == 0 {
            link.send_replace(Link::Over);
            return Ok(());
        }
        *is_answered.lock().unwrap() = true;
        if *link.borrow() == Link::Open {
            to.write_all(&buffer[..n_bytes]).await?;
        }
    }
}

/// What a client says, taken apart as Postgres's protocol does.
#[derive(Debug, Default)]
struct Messages {
    rest: Vec<u8>,
    /// The first messages of a connection say no type.
    is_started: bool,
}

impl Messages {
    fn push(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    /// The messages that are there as a whole.
    fn take_complete(&mut self) -> Vec<Vec<u8>> {
        let mut complete = Vec::new();
        while let Some(length) = self.length().filter(|length| *length <= self.rest.len()) {
            let rest = self.rest.split_off(length);
            let message = std::mem::replace(&mut self.rest, rest);
            // The version of the protocol; before it there may be a request for TLS.
            self.is_started |= message.get(4..8) == Some(&[0, 3, 0, 0]);
            complete.push(message);
        }
        complete
    }

    /// How long the message is that comes next.
    fn length(&self) -> Option<usize> {
        let n_before = usize::from(self.is_started);
        let length = self.rest.get(n_before..n_before + 4)?;
        let length = u32::from_be_bytes(length.try_into().ok()?);
        Some(n_before + length as usize)
    }
}
