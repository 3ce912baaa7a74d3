//! Invariants of any request, path, query and headers: their canonical forms, and the
//! inputs of a signature.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use jobwatch::credential::signing::{
    SigningError, SigningKey, canonical_headers, canonical_path, canonical_query, sign,
    signed_headers,
};
use percent_encoding::{
    NON_ALPHANUMERIC, percent_decode_str, percent_encode_byte, utf8_percent_encode,
};
use proptest::prelude::*;
use secrecy::SecretString;

/// Any text as a path, with many escapes, broken escapes and slashes.
fn any_path() -> impl Strategy<Value = String> {
    "(/|%[0-9A-Fa-f]{2}|%|[a-z~+ .]|\\PC){0,20}"
}

/// One text in two spellings: each character is encoded or not, at random. A `%` outside of
/// an escape is always encoded.
fn two_spellings() -> impl Strategy<Value = (String, String)> {
    let character = prop_oneof![prop::char::range(' ', '~'), any::<char>()];
    prop::collection::vec((character, any::<bool>(), any::<bool>()), 0..20).prop_map(|all| {
        let one = all
            .iter()
            .map(|&(each, is_encoded, _)| spelled(each, is_encoded));
        let other = all
            .iter()
            .map(|&(each, _, is_encoded)| spelled(each, is_encoded));
        (one.collect(), other.collect())
    })
}

fn spelled(each: char, is_encoded: bool) -> String {
    if is_encoded || each == '%' {
        let bytes = each.to_string().into_bytes();
        let escapes = bytes.into_iter().map(percent_encode_byte);
        escapes.map(str::to_lowercase).collect()
    } else {
        each.to_string()
    }
}

type Pairs = Vec<(String, String)>;

/// The pairs of a query, and the same pairs in another order.
fn pairs_in_two_orders() -> impl Strategy<Value = (Pairs, Pairs)> {
    let text = "[ab~+%=& \u{e9}]{0,3}";
    let pairs = prop::collection::vec((text, text), 0..8);
    pairs.prop_flat_map(|pairs| (Just(pairs.clone()), Just(pairs).prop_shuffle()))
}

fn query(pairs: &Pairs) -> String {
    let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
        .collect();
    pairs.join("&")
}

/// Headers, and the same headers with another order, other case and other outer blanks.
fn headers_in_two_forms() -> impl Strategy<Value = (Pairs, Pairs)> {
    let header = ("[a-c][a-c_-]{0,2}", "[!-~]([ -~]{0,6}[!-~])?");
    prop::collection::vec(header, 0..8).prop_flat_map(|headers| {
        let other: Pairs = headers
            .iter()
            .map(|(name, value)| (name.to_uppercase(), format!("\t {value}  ")))
            .collect();
        (Just(headers), Just(other).prop_shuffle())
    })
}

fn header_map(headers: &Pairs) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    map
}

/// All inputs of a signature.
#[derive(Debug, Clone)]
struct Signed {
    method: Method,
    path: String,
    query: String,
    header: String,
    body: String,
    second: i64,
    secret: String,
    token: String,
}

impl Signed {
    fn key(&self) -> SigningKey {
        SigningKey {
            access_key: "AK".into(),
            secret_key: self.secret.as_str().into(),
            security_token: Some(self.token.as_str().into()),
            project_id: None,
            domain_id: None,
        }
    }

    fn signature(&self) -> String {
        let url = format!("https://gateway.example{}?{}", self.path, self.query);
        let mut request = reqwest::Request::new(self.method.clone(), url.parse().unwrap());
        *request.body_mut() = Some(self.body.clone().into());
        let value = HeaderValue::from_str(&self.header).unwrap();
        request.headers_mut().insert("x-note", value);
        let now = Timestamp::from_second(self.second).unwrap();
        sign(&mut request, &self.key(), now).unwrap()
    }
}

fn any_signed() -> impl Strategy<Value = Signed> {
    let method = prop::sample::select(vec![Method::GET, Method::POST]);
    let text = "[a-z0-9]{0,8}";
    let secret = "[!-~]{1,40}";
    let second = 0_i64..4_000_000_000;
    let request = (method, "/[a-z0-9]{0,8}", "[a-z]=[a-z0-9]{0,8}", text, text);
    (request, second, secret, secret).prop_map(|(request, second, secret, token)| {
        let (method, path, query, header, body) = request;
        Signed {
            method,
            path,
            query,
            header,
            body,
            second,
            secret,
            token,
        }
    })
}

/// The variants of this request that differ in one input.
fn changed(signed: &Signed) -> Vec<Signed> {
    let mut all = vec![signed.clone(); 8];
    all[0].method = Method::PUT;
    all[1].path.push('x');
    all[2].query.push('x');
    all[3].header.push('x');
    all[4].body.push('x');
    all[5].second += 1;
    all[6].secret.push('x');
    all[7].token.push('x');
    all
}

proptest! {
    #[test]
    fn canonicalizing_a_path_twice_changes_nothing(path in any_path()) {
        let canonical = canonical_path(&path);
        prop_assert_eq!(&canonical_path(&canonical), &canonical);
        prop_assert!(canonical.ends_with('/'));
    }

    #[test]
    fn canonical_paths_have_only_allowed_characters(path in any_path()) {
        let canonical = canonical_path(&path);
        let mut rest = canonical.chars();
        while let Some(each) = rest.next() {
            if each == '%' {
                let digits = [rest.next(), rest.next()].map(Option::unwrap);
                prop_assert!(digits.iter().all(|digit| matches!(digit, '0'..='9' | 'A'..='F')));
            } else {
                prop_assert!(each.is_ascii_alphanumeric() || "-_.~/".contains(each), "{}", canonical);
            }
        }
    }

    #[test]
    fn equal_paths_have_one_canonical_form((one, other) in two_spellings()) {
        prop_assert_eq!(canonical_path(&one), canonical_path(&other));
    }

    #[test]
    fn the_order_of_a_query_does_not_matter((one, other) in pairs_in_two_orders()) {
        prop_assert_eq!(canonical_query(&query(&one)), canonical_query(&query(&other)));
    }

    #[test]
    fn a_canonical_query_is_sorted_and_complete((mut pairs, _) in pairs_in_two_orders()) {
        let canonical = canonical_query(&query(&pairs));
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
        let read: Pairs = canonical
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (decoded(name), decoded(value)))
            .collect();
        pairs.sort();
        prop_assert_eq!(read, pairs);
    }

    #[test]
    fn plus_and_escaped_blanks_in_a_query_are_equal((pairs, _) in pairs_in_two_orders()) {
        let form = query(&pairs).replace("%20", "+");
        prop_assert_eq!(canonical_query(&form), canonical_query(&query(&pairs)));
    }

    #[test]
    fn header_order_case_and_outer_blanks_do_not_matter((one, other) in headers_in_two_forms()) {
        let (one, other) = (header_map(&one), header_map(&other));
        let host = "gateway.example";
        prop_assert_eq!(signed_headers(&one), signed_headers(&other));
        prop_assert_eq!(canonical_headers(&one, host), canonical_headers(&other, host));
    }

    #[test]
    fn headers_without_an_underscore_are_signed((headers, _) in headers_in_two_forms()) {
        let headers = header_map(&headers);
        let signed = signed_headers(&headers);
        let signed: BTreeSet<&str> = signed.split(';').collect();
        let named = headers.keys().map(HeaderName::as_str).filter(|name| !name.contains('_'));
        prop_assert_eq!(signed, named.chain(["host"]).collect::<BTreeSet<_>>());
    }

    #[test]
    fn any_change_of_the_request_changes_the_signature(signed in any_signed()) {
        let first = signed.signature();
        prop_assert_eq!(&signed.signature(), &first);
        for other in changed(&signed) {
            prop_assert_ne!(other.signature(), first.clone(), "{:?}", other);
        }
    }

    #[test]
    fn no_part_of_a_key_is_shown(
        parts in prop::array::uniform3("[A-Za-z0-9]{20}"),
        broken in 0_usize..4,
    ) {
        // A line end in one of them is an error, except in the one that is not sent.
        let [access_key, secret_key, security_token] = std::array::from_fn(|at| {
            let end = if at == broken { "\n" } else { "" };
            SecretString::from(format!("{}{end}", parts[at]))
        });
        let key = SigningKey {
            access_key,
            secret_key,
            security_token: Some(security_token),
            project_id: None,
            domain_id: None,
        };
        let mut request = reqwest::Request::new(Method::GET, "https://gateway.example/".parse().unwrap());
        let error: Option<SigningError> = sign(&mut request, &key, Timestamp::UNIX_EPOCH).err();
        prop_assert_eq!(error.is_some(), broken == 0 || broken == 2);
        let said = error.as_ref().map(ToString::to_string);
        let shown = format!("{key:?} {key:#?} {error:?} {said:?} {request:?} {:?}", request.headers());
        for part in &parts {
            prop_assert!(!shown.contains(part.as_str()), "{}", shown);
        }
    }
}
