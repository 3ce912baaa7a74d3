//! Held to account: the rules for bodies that are not strict JSON, and the strict ones.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn json_of(body: &[u8]) -> Result<Parsed, String> {
    parse(Format::Json, &[], None, body)
}

fn xml_of(text: &str) -> Result<Value, String> {
    parse(Format::Xml, &["task".to_owned()], None, text.as_bytes()).map(|parsed| parsed.root)
}

fn utf_16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(to_bytes).collect()
}

#[track_caller]
fn assert_lenient(body: &[u8], expected: &Value) {
    let parsed = json_of(body).unwrap();
    assert_eq!(&parsed.root, expected, "{}", String::from_utf8_lossy(body));
    assert!(parsed.is_lenient);
}

#[test]
fn xml_element_with_too_many_members_is_refused() {
    let elements: Vec<String> = (0..=10_000).map(|n| format!("<b{n}/>")).collect();
    let attributes: Vec<String> = (0..=10_000).map(|n| format!(" b{n}=''")).collect();
    for body in [
        format!("<a>{}</a>", elements.concat()),
        format!("<a{}/>", attributes.concat()),
    ] {
        let Err(why) = parse(Format::Xml, &[], None, body.as_bytes()) else {
            panic!("it is read");
        };
        assert!(why.contains("more than 10000 members"), "{why}");
    }
    let many = "<b/>".repeat(20_000);
    let list = format!("<a>{many}</a>");
    assert!(parse(Format::Xml, &[], None, list.as_bytes()).is_ok());
}

#[test]
fn faults_that_services_have_are_read_leniently() {
    assert_lenient(
        b"{\"a\":\"x\xff\xfey\"}",
        &json!({"a": "x\u{fffd}\u{fffd}y"}),
    );
    assert_lenient(b"{\"a\":\"x\ny\t\0\"}", &json!({"a": "x\ny\t\0"}));
    assert_lenient(
        b"{\"a\":NaN,\"b\":[Infinity,-Infinity],\"c\":-1}",
        &json!({"a": null, "b": [null, null], "c": -1}),
    );
    assert_lenient(
        br#"{"a":"\ud83d!\ude00"}"#,
        &json!({"a": "\u{fffd}!\u{fffd}"}),
    );
    assert_lenient(
        br#"{"a":"\ud83d\ud83d\ude00"}"#,
        &json!({"a": "\u{fffd}😀"}),
    );
    assert_lenient(br#"{"a":"C:\x\u12\'"}"#, &json!({"a": "C:\\x\\u12\\'"}));
    assert_lenient(b"{\"a\":\"C:\\\n\"}", &json!({"a": "C:\\\n"}));
    assert_lenient(b"\xef\xbb\xbf{\"a\":1}", &json!({"a": 1}));
    for prefix in [
        ")]}'",
        ")]}'\n",
        ")]}',\n",
        "while(1);",
        "\u{feff} while(1);\r\n",
    ] {
        let body = format!("{prefix}{{\"a\":1}}");
        assert_lenient(body.as_bytes(), &json!({"a": 1}));
    }
}

#[test]
fn words_in_strings_are_not_changed() {
    let body = json!({"NaN": "-Infinity", "a": "\\\"NaN", "b": ")]}' while(1);"});
    let parsed = json_of(body.to_string().as_bytes()).unwrap();
    assert_eq!((parsed.root, parsed.is_lenient), (body, false));
    assert_lenient(
        br#"{"a": NaN, "b": "NaN \" NaN", "c": "\\", "d": Infinity}"#,
        &json!({"a": null, "b": "NaN \" NaN", "c": "\\", "d": null}),
    );
}

#[test]
fn utf_16_is_read_with_and_without_a_mark() {
    let text = r#"{"status":"läuft 😀"}"#;
    let expected = json!({"status": "läuft 😀"});
    for marked in ["", "\u{feff}"] {
        let text = format!("{marked}{text}");
        assert_lenient(&utf_16(&text, u16::to_le_bytes), &expected);
        assert_lenient(&utf_16(&text, u16::to_be_bytes), &expected);
    }
}

#[test]
fn charset_of_the_header_is_used_unless_the_bytes_are_utf_8() {
    let read = |content_type: &str, body: &[u8]| {
        parse(Format::Json, &[], Some(content_type), body).unwrap()
    };
    let latin = read(
        "application/json; charset=ISO-8859-1",
        b"{\"a\":\"l\xe4uft\"}",
    );
    assert_eq!(
        (latin.root, latin.is_lenient),
        (json!({"a": "läuft"}), true)
    );
    let quoted = read(
        "text/json;x=y; Charset=\"shift_jis\"",
        b"{\"a\":\"\x8a\xae\x97\xb9\"}",
    );
    assert_eq!(quoted.root, json!({"a": "完了"}));
    // A header that is wrong about a body in UTF-8 or ASCII does no harm.
    for charset in ["iso-8859-1", "utf-16", "no-such-charset"] {
        let body = "{\"a\":\"läuft\t\"}".as_bytes();
        let parsed = read(&format!("application/json; charset={charset}"), body);
        assert_eq!(parsed.root, json!({"a": "läuft\t"}), "{charset}");
    }
}

#[test]
fn other_faults_stay_unreadable() {
    for body in [
        "",
        "  ",
        "{\"a\":1",
        "{\"a\":\"x",
        "{\"a\":\"x\\",
        "{\"a\":1}{\"a\":2}",
        "{\"a\":1}\n{\"a\":2}",
        "{\"a\":1,}",
        "[1,]",
        "{'a':1}",
        "{a:1}",
        "{NaN:1}",
        "{\"a\":1/*x*/}",
        "{\"a\":1}//x",
        "{\"a\":+1}",
        "{\"a\":nan}",
        "{\"a\":undefined}",
        "{\"a\":01}",
        "{\"a\":--Infinity}",
        "{\"a\":NaNNaN}",
        "{\"a\":True}",
        "while(1);",
        "while(1);while(1);{}",
        "for(;;);{}",
        "callback({})",
        "<html><body>{\"a\":1}</body></html>",
        "{123456789012345678901234567890:1}",
        "1234567890123456789012345 2",
        "-",
    ] {
        let error = json_of(body.as_bytes()).unwrap_err();
        assert!(
            error.starts_with("the body is not JSON: it "),
            "{body}: {error}"
        );
    }
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    assert!(json_of(deep.as_bytes()).is_err());
    assert_eq!(
        json_of(b"").unwrap_err(),
        "the body is not JSON: it is empty"
    );
}

#[test]
fn integers_of_any_length_keep_their_digits() {
    let longest = "9".repeat(400);
    let body = format!(
        "{{\"a\":12345678901234567890123,\"b\":[-9223372036854775809,18446744073709551615,\
         -9223372036854775808 , 18446744073709551616 ],\"c\":\"98765432109876543210 1\",\"d\":{longest},\
         \"e\":12345678901234567890.5}}"
    );
    let parsed = json_of(body.as_bytes()).unwrap();
    assert!(!parsed.is_lenient);
    assert_eq!(
        parsed.root,
        json!({
            "a": "12345678901234567890123",
            "b": ["-9223372036854775809", u64::MAX, i64::MIN, "18446744073709551616"],
            "c": "98765432109876543210 1",
            "d": longest,
            "e": 12_345_678_901_234_567_890.5,
        })
    );
    assert_eq!(
        parse_text("{\"id\":98765432109876543210}"),
        Some(json!({"id": "98765432109876543210"}))
    );
    assert_eq!(parse_text("{\"id\":NaN}"), None);
}

#[test]
fn beginning_keeps_the_members_that_are_whole() {
    let read = |text: &str| {
        parse_beginning(Format::Json, &[], None, text.as_bytes()).map(|parsed| parsed.root)
    };
    for (text, expected) in [
        (
            r#"{"a":1,"b":{"c":"x","d":"y"#,
            json!({"a": 1, "b": {"c": "x"}}),
        ),
        (r#"{"a":"x""#, json!({"a": "x"})),
        (r#"{"a":"x","b"#, json!({"a": "x"})),
        (r#"{"a":"x","b":"#, json!({"a": "x"})),
        (r#"{"a":12,"b":12"#, json!({"a": 12})),
        (r#"{"a":[1,2,3"#, json!({"a": [1, 2]})),
        (
            r#"[{"id":"1"},{"id":"2"}"#,
            json!([{"id": "1"}, {"id": "2"}]),
        ),
        (
            r#"{"a":"}],{","b":[[{"c":null},"#,
            json!({"a": "}],{", "b": [[{"c": null}]]}),
        ),
        (r#"{"a":"x","b":"\"#, json!({"a": "x"})),
        (r#" {"a":1} "#, json!({"a": 1})),
        (r#"{"a":NaN,"b":"#, json!({"a": null})),
        (
            "{\"a\":12345678901234567890123,",
            json!({"a": "12345678901234567890123"}),
        ),
    ] {
        assert_eq!(read(text), Some(expected), "{text}");
    }
    for text in [
        "",
        "{",
        "[",
        "\"x\"",
        "12",
        "<html>",
        "{\"a\":1}{",
        "{\"a\" 1,",
        "{]",
        "{,",
        "{\"a",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
    let within_a_character = b"{\"a\":\"x\",\"b\":\"\xe5\xae";
    let parsed = parse_beginning(Format::Json, &[], None, within_a_character).unwrap();
    assert_eq!((parsed.root, parsed.is_lenient), (json!({"a": "x"}), false));
    let latin = b"{\"a\":\"l\xe4uft\",\"b\":";
    let parsed = parse_beginning(Format::Json, &[], Some("x; charset=latin1"), latin).unwrap();
    assert_eq!(
        (parsed.root, parsed.is_lenient),
        (json!({"a": "läuft"}), true)
    );
}

#[test]
fn xml_is_read_as_a_tree() {
    let tree = xml_of(
        r#"<?xml version="1.0" encoding="UTF-8"?>
        <!DOCTYPE status SYSTEM "status.dtd">
        <n:status xmlns:n="urn:x" xmlns="urn:y" n:id="7" kind='a &amp; b'>
          <!-- <state>NO</state> -->
          <n:state> DONE </n:state>
          <?pi x?>
          <task name="one"/>
          <step>1</step><step>2</step>
          <empty/><void></void>
          <mixed a="1">x<b/>&#121;&#x7a;<![CDATA[<&>]]></mixed>
          <reason>disk &lt;3&gt; is &quot;full&quot;&apos;</reason>
        </n:status>
        <!-- end -->"#,
    );
    assert_eq!(
        tree.unwrap(),
        json!({"status": {
            "@id": "7",
            "@kind": "a & b",
            "state": "DONE",
            "task": [{"@name": "one"}],
            "step": ["1", "2"],
            "empty": "",
            "void": "",
            "mixed": {"@a": "1", "b": "", "#text": "xyz<&>"},
            "reason": "disk <3> is \"full\"'",
        }})
    );
    assert_eq!(xml_of("<task>x</task>").unwrap(), json!({"task": ["x"]}));
    assert_eq!(
        xml_of(r#"<a x:id="1" id="2" y:id="3"/>"#).unwrap(),
        json!({"a": {"@id": "2"}})
    );
}

#[test]
fn xml_that_is_not_one_document_is_unreadable() {
    let deep = "<a>".repeat(129) + &"</a>".repeat(129);
    for (text, said) in [
        ("", "no element; it is empty"),
        ("{\"a\":1}", "text outside"),
        ("<a>", "ends within"),
        ("<a><b></b>", "ends within"),
        ("<a><b", "ends within"),
        ("<a>&am", "reference"),
        ("<a>x & y</a>", "reference"),
        ("<a><b></a></b>", "is not XML"),
        ("<a/></b>", "is not XML"),
        ("<a/><a/>", "two root elements"),
        ("<a/>x", "text outside"),
        ("<a/><![CDATA[x]]>", "text outside"),
        ("<a>&nbsp;</a>", "an entity that XML does not define"),
        ("<a b='&x;'/>", "is not XML"),
        ("<a b=1/>", "is not XML"),
        ("<a b/>", "is not XML"),
        ("<a b='1' b='2'/>", "the attribute b stands there twice"),
        ("<1a/>", "not a name"),
        ("<a <b/>", "is not XML"),
        (
            "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
            "it declares entities",
        ),
        ("<!DOCTYPE a [ ]><a/>", "it declares entities"),
        (&deep, "more than 128 levels"),
    ] {
        let error = xml_of(text).unwrap_err();
        assert!(error.starts_with("the body is not XML: "), "{error}");
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn charset_of_xml_is_the_declared_one() {
    let read = |content_type, body: &[u8]| {
        let parsed = parse(Format::Xml, &[], content_type, body).unwrap();
        (parsed.root["a"].clone(), parsed.is_lenient)
    };
    let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><a>l\xe4uft</a>";
    assert_eq!(read(None, latin), (json!("läuft"), false));
    assert_eq!(
        read(Some("text/xml; charset=latin1"), b"<a>l\xe4uft</a>"),
        (json!("läuft"), false)
    );
    assert_eq!(
        read(None, b"<a>l\xe4uft</a>"),
        (json!("l\u{fffd}uft"), true)
    );
    // Programs of Windows write the declaration before they know the bytes.
    let declared = "<?xml version='1.0' encoding='utf-16'?><a>läuft</a>";
    assert_eq!(read(None, declared.as_bytes()), (json!("läuft"), false));
    assert_eq!(
        read(None, &utf_16(declared, u16::to_le_bytes)),
        (json!("läuft"), false)
    );
    let marked = format!("\u{feff}{declared}");
    assert_eq!(read(None, marked.as_bytes()), (json!("läuft"), false));
    assert_eq!(
        read(None, &utf_16(&marked, u16::to_be_bytes)),
        (json!("läuft"), false)
    );
}

#[test]
fn beginning_of_xml_keeps_the_elements_that_are_whole() {
    let read = |text: &str| {
        parse_beginning(Format::Xml, &[], None, text.as_bytes()).map(|parsed| parsed.root)
    };
    let whole = "<a><state>RUNNING</state><list><b>1</b>";
    let expected = json!({"a": {"state": "RUNNING", "list": {"b": "1"}}});
    for rest in [
        "", "<b>2", "<b", "<b x='", "<b/", "</", "<!--", "<b>&am", "text",
    ] {
        assert_eq!(
            read(&format!("{whole}{rest}")),
            Some(expected.clone()),
            "{rest}"
        );
    }
    for text in [
        "",
        "<a>RUNN",
        "<a><b>",
        "x",
        "<a></b>",
        "<!DOCTYPE a [<!ENTITY",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
}

#[test]
fn text_is_trimmed_and_short() {
    assert_eq!(trimmed_text(None, b" \r\n DONE \n"), "DONE");
    assert_eq!(
        trimmed_text(Some("text/plain; charset=latin1"), b"l\xe4uft"),
        "läuft"
    );
    assert_eq!(
        trimmed_text(None, &utf_16("\u{feff}DONE\n", u16::to_le_bytes)),
        "DONE"
    );
    let long = "ä".repeat(100_000);
    assert_eq!(trimmed_text(None, long.as_bytes()), "ä".repeat(512));
    let parsed = parse(Format::Text, &[], None, b"DONE").unwrap();
    assert_eq!((parsed.root, parsed.is_lenient), (Value::Null, false));
}

#[test]
fn format_of_an_error_is_that_of_its_header() {
    let of = |content_type, body: &str| Format::of_answer(content_type, body.as_bytes());
    assert_eq!(of(Some("text/xml"), "<Error/>"), Format::Xml);
    assert_eq!(
        of(Some("application/problem+xml; charset=utf-8"), " <e/>"),
        Format::Xml
    );
    assert_eq!(of(Some("text/xml"), "{}"), Format::Json);
    assert_eq!(of(Some("text/html"), "<html/>"), Format::Json);
    assert_eq!(of(None, "<Error/>"), Format::Json);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[0-9]{15,30}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-zN\"\\\\é\n]{0,6}", inner, 0..6)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// Pieces from which texts near JSON are made.
fn near_json() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\"a\"",
        "\\",
        "\\u",
        "d83d",
        "\\ude00",
        "NaN",
        "-Infinity",
        "1",
        "-",
        "0",
        "12345678901234567890",
        ".5",
        "e9",
        " ",
        "\n",
        "true",
        "x",
        "ä",
        "\u{feff}",
        ")]}'",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn strict_json_is_read_as_it_is(value in any_json(), is_pretty: bool) {
        let text = if is_pretty {
            serde_json::to_string_pretty(&value).unwrap()
        } else {
            value.to_string()
        };
        let bare: Value = serde_json::from_str(&text).unwrap();
        let parsed = json_of(text.as_bytes()).unwrap();
        prop_assert!(!parsed.is_lenient);
        prop_assert_eq!(&parsed.root, &bare);
        // The second reading changes nothing in it.
        let second: Value = serde_json::from_str(&lenient::sanitise(&text)).unwrap();
        prop_assert_eq!(second, bare);
    }

    #[test]
    fn only_long_integers_differ_from_the_bare_parser(text in near_json()) {
        let bare = serde_json::from_str::<Value>(&text);
        let ours = json::strict(text.as_bytes());
        let has_long_integer = text.contains("12345678901234567890");
        prop_assert!(bare.is_ok() == ours.is_ok() || has_long_integer);
        if let (Ok(bare), Ok(ours), false) = (bare, ours, has_long_integer) {
            prop_assert_eq!(bare, ours);
        }
    }

    #[test]
    fn integers_keep_their_digits(digits in "-?[1-9][0-9]{0,60}") {
        let body = format!("[0, {digits} ]");
        let parsed = json_of(body.as_bytes()).unwrap();
        let text = match &parsed.root[1] {
            Value::String(text) => text.clone(),
            number => number.to_string(),
        };
        prop_assert_eq!(text, digits);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(body: Vec<u8>, near in near_json()) {
        for bytes in [&body[..], near.as_bytes()] {
            for format in [Format::Json, Format::Xml, Format::Text] {
                let _ = parse(format, &[], Some("x; charset=gbk"), bytes);
                let _ = parse_beginning(format, &[], None, bytes);
            }
        }
    }

    #[test]
    fn every_beginning_of_json_says_no_more_than_the_whole(value in any_json(), part in 0.0..1.0) {
        let text = value.to_string();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "any place within the text will do"
        )]
        let end = (text.len() as f64 * part) as usize;
        let beginning = parse_beginning(Format::Json, &[], None, &text.as_bytes()[..end]);
        if let Some(parsed) = beginning {
            let whole: Value = serde_json::from_str(&text).unwrap();
            prop_assert!(is_within(&parsed.root, &whole), "{} in {text}", parsed.root);
        }
    }

    #[test]
    fn xml_gives_back_each_text(text in "[ -~äé\n]{0,40}", attribute in "[ -~äé]{0,40}") {
        let escape = |text: &str| quick_xml::escape::escape(text.to_owned()).into_owned();
        let document = format!("<a b=\"{}\">{}</a>", escape(&attribute), escape(&text));
        let mut expected = json!({"@b": attribute});
        if !text.trim().is_empty() {
            expected["#text"] = json!(text.trim());
        }
        prop_assert_eq!(&xml_of(&document).unwrap()["a"], &expected);
    }
}

/// True if `part` has only members and elements of `whole`, in their places.
fn is_within(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => part
            .iter()
            .all(|(name, value)| whole.get(name).is_some_and(|other| is_within(value, other))),
        (Value::Array(part), Value::Array(whole)) => {
            part.len() <= whole.len()
                && part
                    .iter()
                    .zip(whole)
                    .all(|(value, other)| is_within(value, other))
        }
        _ => part == whole,
    }
}

#[test]
fn utf_16_becomes_utf_8_and_stays_lenient() {
    let text = r#"{"token":"cänary-token"}"#;
    let with_mark = utf_16(&format!("\u{feff}{text}"), u16::to_be_bytes);
    for wide in [utf_16(text, u16::to_le_bytes), with_mark] {
        let body = in_utf_8(wide.clone().into());
        let found = String::from_utf8_lossy(&body).contains("cänary-token");
        assert!(found, "{body:?}");
        assert_eq!(json_of(&body), json_of(&wide));
        assert!(json_of(&body).unwrap().is_lenient);
        let half = &body[..body.len() - 1];
        let beginning = parse_beginning(Format::Json, &[], None, half);
        assert_eq!(
            beginning.map(|parsed| parsed.root),
            json_of(&wide).ok().map(|it| it.root)
        );
    }
    for narrow in [text.as_bytes(), b"", b"\xef\xbb\xbf{}"] {
        let body = Bytes::copy_from_slice(narrow);
        assert_eq!(in_utf_8(body.clone()).as_ptr(), body.as_ptr());
    }
}
