//! The proxy does what its faults say.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use fleetline_tests::chaos::proxy::{Link, Proxy, Way};
use fleetline_tests::chaos::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Long enough for what comes, short enough for what must not come.
const SOON: Duration = Duration::from_millis(200);
const BOUND: Duration = Duration::from_secs(10);

/// A server that sends back what it gets.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.shutdown().await;
            });
        }
    });
    address.to_string()
}

async fn connected() -> (Proxy, TcpStream) {
    let proxy = Proxy::start(&echo().await).await;
    let mut client = TcpStream::connect(proxy.address()).await.expect("the proxy listens");
    client.write_all(b"hello").await.expect("open");
    assert_eq!(read(&mut client, 5).await, b"hello");
    (proxy, client)
}

async fn read(client: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut buffer = vec![0; bytes];
    let reading = timeout(BOUND, client.read_exact(&mut buffer)).await;
    reading.expect("something comes").expect("the connection lives");
    buffer
}

#[tokio::test]
async fn what_passes_passes_whole_and_its_end_too() {
    let (proxy, mut client) = connected().await;
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let (mut from, mut to) = client.split();
    let mut got = Vec::new();
    let (written, read) = tokio::join!(
        async {
            to.write_all(&sent).await?;
            to.shutdown().await
        },
        from.read_to_end(&mut got)
    );
    written.expect("all goes out");
    read.expect("all comes back, then the end");
    assert!(got == sent);
    until("no connection is left", BOUND, async || (proxy.connections() == 0).then_some(())).await;
}

#[tokio::test]
async fn a_cut_resets_what_is_there_and_refuses_what_comes() {
    let (proxy, mut client) = connected().await;
    proxy.set(Link::Cut);
    let broken = timeout(BOUND, client.read(&mut [0])).await.expect("it breaks");
    assert_eq!(broken.expect_err("a reset").kind(), ErrorKind::ConnectionReset);
    until("a new one is refused", BOUND, async || {
        let refused = TcpStream::connect(proxy.address()).await.err()?;
        (refused.kind() == ErrorKind::ConnectionRefused).then_some(())
    })
    .await;
    proxy.set(Link::PASS);
    let mut client = until("it listens again at the same place", BOUND, async || {
        TcpStream::connect(proxy.address()).await.ok()
    })
    .await;
    client.write_all(b"again").await.expect("open");
    assert_eq!(read(&mut client, 5).await, b"again");
}

#[tokio::test]
async fn a_cut_that_is_over_at_once_still_resets() {
    let (proxy, mut client) = connected().await;
    proxy.set(Link::Cut);
    proxy.set(Link::PASS);
    assert!(timeout(BOUND, client.read(&mut [0])).await.expect("it breaks").is_err());
    let (proxy, mut client) = connected().await;
    proxy.reset();
    assert!(timeout(BOUND, client.read(&mut [0])).await.expect("it breaks").is_err());
}

#[tokio::test]
async fn accepted_connections_are_closed() {
    let (proxy, mut client) = connected().await;
    proxy.set(Link::AcceptThenClose);
    assert!(timeout(BOUND, client.read(&mut [0])).await.expect("it breaks").is_err());
    let mut client = TcpStream::connect(proxy.address()).await.expect("accepted");
    let read = timeout(BOUND, client.read(&mut [0])).await.expect("it ends");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test]
async fn a_black_direction_holds_what_it_gets() {
    for (to_server, to_client) in [(Way::Black, Way::Pass), (Way::Pass, Way::Black)] {
        let (proxy, mut client) = connected().await;
        proxy.set(Link::Through { to_server, to_client });
        client.write_all(b"late").await.expect("it is taken");
        let nothing = timeout(SOON, client.read(&mut [0])).await;
        assert!(nothing.is_err(), "{nothing:?}");
        let mut other = TcpStream::connect(proxy.address()).await.expect("accepted");
        other.write_all(b"later").await.expect("it is taken");
        proxy.set(Link::PASS);
        assert_eq!(read(&mut client, 4).await, b"late");
        assert_eq!(read(&mut other, 5).await, b"later");
    }
}

#[tokio::test]
async fn a_slow_direction_is_late_and_no_faster_than_its_rate() {
    let slow = Way::Slow { delay: Duration::from_millis(100), bytes_per_second: Some(20_000) };
    for (to_server, to_client) in [(slow, Way::Pass), (Way::Pass, slow)] {
        let (proxy, mut client) = connected().await;
        proxy.set(Link::Through { to_server, to_client });
        let began = Instant::now();
        client.write_all(b"x").await.expect("open");
        read(&mut client, 1).await;
        assert!(began.elapsed() >= Duration::from_millis(100));
        let began = Instant::now();
        client.write_all(&[7; 6_000]).await.expect("open");
        read(&mut client, 6_000).await;
        // The last part waits for nobody.
        assert!(began.elapsed() >= Duration::from_millis(100 + 200));
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_reset() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound");
    let proxy = Proxy::start(&nobody.to_string()).await;
    let mut client = TcpStream::connect(proxy.address()).await.expect("the proxy listens");
    assert!(timeout(BOUND, client.read(&mut [0])).await.expect("it breaks").is_err());
}
