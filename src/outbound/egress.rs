//! Restricts URLs that a caller of the API gives, such as callbacks, to public addresses.
//!
//! A name is checked at the moment of connecting, by a resolver that returns public addresses
//! only. A check before that, followed by a second resolution, could get two different
//! answers (DNS rebinding). A literal address never reaches a resolver, so it is checked on
//! the parsed host: the parser has by then turned `2130706433`, `0x7f.1`, `0177.0.0.1` and
//! full-width digits into `127.0.0.1`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// IPv4 networks that are not the public internet: the IANA IPv4 Special-Purpose Address
/// Registry (RFC 6890) and multicast, and one address that a cloud uses inside.
const NOT_PUBLIC: [(Ipv4Addr, u32); 18] = [
    (Ipv4Addr::UNSPECIFIED, 8),            // this network, RFC 791
    (Ipv4Addr::new(10, 0, 0, 0), 8),       // private, RFC 1918
    (Ipv4Addr::new(100, 64, 0, 0), 10),    // shared by carriers' NAT, RFC 6598
    (Ipv4Addr::new(127, 0, 0, 0), 8),      // loopback, RFC 1122
    (Ipv4Addr::new(168, 63, 129, 16), 32), // Azure's host service, inside each of its networks
    (Ipv4Addr::new(169, 254, 0, 0), 16),   // link-local, RFC 3927; metadata services
    (Ipv4Addr::new(172, 16, 0, 0), 12),    // private, RFC 1918
    (Ipv4Addr::new(192, 0, 0, 0), 24),     // protocol assignments, RFC 6890
    (Ipv4Addr::new(192, 0, 2, 0), 24),     // documentation, RFC 5737
    (Ipv4Addr::new(192, 31, 196, 0), 24),  // AS112, RFC 7535
    (Ipv4Addr::new(192, 52, 193, 0), 24),  // multicast tunnels, RFC 7450
    (Ipv4Addr::new(192, 88, 99, 0), 24),   // 6to4 relays, RFC 7526
    (Ipv4Addr::new(192, 168, 0, 0), 16),   // private, RFC 1918
    (Ipv4Addr::new(192, 175, 48, 0), 24),  // AS112, RFC 7534
    (Ipv4Addr::new(198, 18, 0, 0), 15),    // benchmarks, RFC 2544
    (Ipv4Addr::new(198, 51, 100, 0), 24),  // documentation, RFC 5737
    (Ipv4Addr::new(203, 0, 113, 0), 24),   // documentation, RFC 5737
    (Ipv4Addr::new(224, 0, 0, 0), 3),      // multicast, reserved, broadcast: RFC 5771, 1112, 919
];

/// The only IPv6 network with global unicast addresses (RFC 4291, IANA's registry). Outside
/// it are loopback, unspecified, unique and site-local, link-local and multicast addresses,
/// and those that stand for an IPv4 address: mapped, compatible, NAT64.
const GLOBAL_UNICAST: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// The parts of it that are not the public internet: IANA IPv6 Special-Purpose Address
/// Registry.
const NOT_PUBLIC_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // assignments, Teredo, benchmarks
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation, RFC 3849
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4: any IPv4 address within
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation, RFC 9637
];

/// True if `address` is on the public internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC.iter().any(|network| is_in_v4(address, *network)),
        IpAddr::V6(address) => {
            is_in_v6(address, GLOBAL_UNICAST)
                && !NOT_PUBLIC_V6
                    .iter()
                    .any(|network| is_in_v6(address, *network))
        }
    }
}

fn is_in_v4(address: Ipv4Addr, (network, bits): (Ipv4Addr, u32)) -> bool {
    (address.to_bits() ^ network.to_bits()).leading_zeros() >= bits
}

fn is_in_v6(address: Ipv6Addr, (network, bits): (Ipv6Addr, u32)) -> bool {
    (address.to_bits() ^ network.to_bits()).leading_zeros() >= bits
}

/// Checks the host of `url` if it is an address; a name passes.
///
/// # Errors
/// The address is not public.
pub fn check_literal(url: &Url) -> Result<(), String> {
    // The host of `https` URLs is parsed already; brackets mark an IPv6 address.
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) if !is_public(address) => Err(format!(
            "the URL leads to {address}, which is not a public address"
        )),
        _ => Ok(()),
    }
}

/// A resolver that drops addresses that are not public.
pub struct PublicOnly {
    inner: Arc<dyn Resolve>,
}

impl PublicOnly {
    /// Returns a filter over the resolver of the system.
    pub fn of_the_system() -> Self {
        Self::by(Arc::new(System))
    }

    /// Uses `inner` to resolve names.
    pub fn by(inner: Arc<dyn Resolve>) -> Self {
        Self { inner }
    }
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let resolving = self.inner.resolve(name);
        Box::pin(async move {
            let all: Vec<SocketAddr> = resolving.await?.collect();
            let public = |address: &&SocketAddr| is_public(address.ip());
            let found: Vec<SocketAddr> = all.iter().filter(public).copied().collect();
            if found.is_empty() {
                return Err(not_public(&host, &all).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn not_public(host: &str, all: &[SocketAddr]) -> String {
    match all.first() {
        Some(one) => format!(
            "{host} leads to {}, which is not a public address",
            one.ip()
        ),
        None => format!("{host} has no address"),
    }
}

struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The hosts that URLs of callers may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Exactly(String),
    /// Any host below a domain, which is stored with a leading dot.
    Below(String),
}

/// The longest URL that is accepted.
const URL_BYTES_MAX: usize = 2048;

impl Hosts {
    /// Reads patterns such as `hooks.example.com`, and `*.example.com` for every host below
    /// it.
    ///
    /// # Errors
    /// One of them is not a host; the message names it.
    pub fn parse(patterns: &[String]) -> Result<Self, String> {
        patterns
            .iter()
            .map(|text| pattern(text))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Reads the URL that a caller gave.
    ///
    /// # Errors
    /// It is not allowed. The message says why, without the URL, which may be a secret.
    pub fn check(&self, text: &str) -> Result<Url, String> {
        let example = "as https://hooks.example.com/done";
        if text.len() > URL_BYTES_MAX {
            return Err(format!("must have at most {URL_BYTES_MAX} bytes"));
        }
        let url =
            Url::parse(text).map_err(|error| format!("must be a URL, {example} ({error})"))?;
        if url.scheme() != "https" {
            return Err(format!("must begin with https://, {example}"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not have a user name or password".to_owned());
        }
        check_literal(&url)?;
        let host = url.host_str().unwrap_or_default();
        let admits = |pattern: &Pattern| match pattern {
            Pattern::Exactly(allowed) => host == allowed,
            Pattern::Below(suffix) => host.ends_with(suffix.as_str()),
        };
        if !self.0.iter().any(admits) {
            return Err(format!(
                "leads to {host}, which `allow_callback_hosts` in [api] does not list"
            ));
        }
        Ok(url)
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    let (name, is_below) = match text.strip_prefix("*.") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let refused =
        || format!("\"{text}\" must be the name of a host, as hooks.example.com or *.example.com");
    let url = Url::parse(&format!("https://{name}/")).map_err(|_| refused())?;
    // The parser writes the host in lower case and in Punycode. No other part may be present.
    let host = url.host_str().unwrap_or_default().to_owned();
    let is_plain = url.path() == "/"
        && url.port().is_none()
        && url.username().is_empty()
        && url.query().is_none()
        && !name.contains(['/', ':', '@', '*']);
    if !is_plain || url.domain().is_none() || (is_below && !host.contains('.')) {
        return Err(refused());
    }
    Ok(if is_below {
        Pattern::Below(format!(".{host}"))
    } else {
        Pattern::Exactly(host)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn is_refused(address: &str) -> bool {
        !is_public(address.parse().unwrap())
    }

    const REFUSED_V4: [&str; 23] = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
    ];
    const REFUSED_V6: [&str; 20] = [
        "::",
        "::1",
        "::8.8.8.8",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:2::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ];
    const ADMITTED: [&str; 12] = [
        "1.1.1.1",
        "9.255.255.255",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "198.20.0.1",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450:4001::1",
        "2001:4860:4860::8888",
    ];

    #[test]
    fn only_the_public_internet_is_public() {
        for address in REFUSED_V4 {
            for form in ["", "::ffff:", "64:ff9b::"] {
                assert!(is_refused(&format!("{form}{address}")), "{form}{address}");
            }
        }
        for address in REFUSED_V6 {
            assert!(is_refused(address), "{address}");
        }
        for address in ADMITTED {
            assert!(!is_refused(address), "{address}");
        }
    }

    #[test]
    fn every_spelling_of_an_address_is_checked() {
        for host in [
            "127.0.0.1",
            "2130706433",
            "0x7f.1",
            "0x7f000001",
            "0177.0.0.1",
            "017700000001",
            "127.1",
            "127.0.1",
            "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
            "127\u{3002}0\u{3002}0\u{3002}1",
            "%31%32%37.0.0.1",
            "127.0.0.1.",
            "0",
            "2852039166",
            "0xa9fea9fe",
            "169.254.43518",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[0:0:0:0:0:ffff:7f00:1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[fe80::1]",
            "[fd00:ec2::254]",
        ] {
            let url = Url::parse(&format!("https://{host}:8443/x")).unwrap();
            assert!(check_literal(&url).is_err(), "{host} is {url}");
            let hosts = Hosts::parse(&["*.example.com".to_owned()]).unwrap();
            assert!(hosts.check(url.as_str()).is_err(), "{host}");
        }
        for host in ["1.1.1.1", "[2606:4700:4700::1111]", "hooks.example.com"] {
            let url = Url::parse(&format!("https://{host}/")).unwrap();
            assert_eq!(check_literal(&url), Ok(()), "{host}");
        }
    }

    /// Gives another answer each time.
    struct Alternating {
        answers: Vec<Vec<IpAddr>>,
        asked: AtomicUsize,
    }

    impl Resolve for Alternating {
        fn resolve(&self, _name: Name) -> Resolving {
            let turn = self.asked.fetch_add(1, Ordering::Relaxed) % self.answers.len();
            let answer: Vec<SocketAddr> = self.answers[turn]
                .iter()
                .map(|address| SocketAddr::new(*address, 0))
                .collect();
            Box::pin(async move { Ok(Box::new(answer.into_iter()) as Addrs) })
        }
    }

    fn alternating(answers: &[&[&str]]) -> PublicOnly {
        let read = |one: &&[&str]| one.iter().map(|text| text.parse().unwrap()).collect();
        PublicOnly::by(Arc::new(Alternating {
            answers: answers.iter().map(read).collect(),
            asked: AtomicUsize::new(0),
        }))
    }

    async fn resolved(resolver: &PublicOnly, name: &str) -> Result<Vec<String>, String> {
        let found = resolver.resolve(name.parse().unwrap()).await;
        let shown = |found: Addrs| found.map(|address| address.ip().to_string()).collect();
        found.map(shown).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_name_is_checked_at_each_lookup() {
        let resolver = alternating(&[
            &["1.1.1.1"],
            &["169.254.169.254"],
            &["10.0.0.1", "2606:4700:4700::1111", "::1"],
            &["::ffff:10.0.0.1"],
            &[],
        ]);
        assert_eq!(resolved(&resolver, "x.example").await.unwrap(), ["1.1.1.1"]);
        let error = resolved(&resolver, "x.example").await.unwrap_err();
        assert!(
            error.contains("x.example leads to 169.254.169.254"),
            "{error}"
        );
        let mixed = resolved(&resolver, "x.example").await.unwrap();
        assert_eq!(mixed, ["2606:4700:4700::1111"]);
        assert!(resolved(&resolver, "x.example").await.is_err());
        let error = resolved(&resolver, "x.example").await.unwrap_err();
        assert!(error.contains("has no address"), "{error}");
    }

    #[tokio::test]
    async fn a_local_host_name_is_refused_with_any_resolver() {
        let error = resolved(&PublicOnly::of_the_system(), "localhost").await;
        assert!(error.unwrap_err().contains("not a public address"));
    }

    #[tokio::test]
    async fn a_filtered_client_connects_to_no_private_address() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = crate::outbound::client().no_proxy();
        let client = client.dns_resolver(alternating(&[&["127.0.0.1"]]));
        let client = client.build().unwrap();
        let error = client
            .get(format!("http://rebound.example:{port}/"))
            .send()
            .await;
        let words = crate::outbound::in_words(&error.unwrap_err());
        assert!(
            words.contains("rebound.example leads to 127.0.0.1"),
            "{words}"
        );
        let accepted = listener.accept().map_err(|error| error.kind());
        assert_eq!(accepted.unwrap_err(), std::io::ErrorKind::WouldBlock);
    }

    #[test]
    fn host_must_be_listed() {
        let patterns = ["hooks.example.com", "*.Example.org", "b\u{fc}cher.example"];
        let hosts = Hosts::parse(&patterns.map(str::to_owned)).unwrap();
        for url in [
            "https://hooks.example.com/x?y=1",
            "https://HOOKS.example.com:8443/",
            "https://a.example.org",
            "https://a.b.example.org/",
            "https://xn--bcher-kva.example/",
        ] {
            assert!(hosts.check(url).is_ok(), "{url}");
        }
        for (url, said) in [
            ("http://hooks.example.com/", "https://"),
            (
                "https://user:hunter2@hooks.example.com/",
                "not have a user name",
            ),
            ("https://example.org/", "does not list"),
            ("https://evilexample.org/", "does not list"),
            ("https://hooks.example.com.evil.example/", "does not list"),
            ("https://hooks.example.com.", "does not list"),
            ("https://evil.example/hooks.example.com", "does not list"),
            ("https://evil.example\\@hooks.example.com/", "does not list"),
            ("https://1.1.1.1/", "does not list"),
            ("hooks.example.com", "must be a URL"),
        ] {
            let error = hosts.check(url).unwrap_err();
            assert!(error.contains(said), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(
            hosts
                .check(&format!("https://hooks.example.com/{}", "x".repeat(3000)))
                .is_err()
        );
        for pattern in [
            "*",
            "*.",
            "*.com",
            "a/b",
            "a:1",
            "10.0.0.1",
            "[::1]",
            "2130706433",
            "",
            "u@h",
            "*.*.x.y",
        ] {
            assert!(Hosts::parse(&[pattern.to_owned()]).is_err(), "{pattern}");
        }
    }
}
