//! Tests of header lists: RFC 6455 sections 4.1, 9.1 and 11.3, RFC 7230 section 7, and the bounds.

use proptest::prelude::*;

use super::*;

fn offer(name: &str, params: &[(&str, Option<&str>)]) -> Offer {
    let params = params
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)))
        .collect();
    Offer {
        name: name.to_owned(),
        params,
    }
}

#[test]
fn no_header_is_no_list() {
    assert_eq!(parse_tokens([]), Ok(vec![]));
    assert_eq!(parse_offers([]), Ok(vec![]));
}

/// RFC 6455 section 11.3.4: the header may appear several times, which is the same as one header with all values.
#[test]
fn several_lines_are_one_list_in_order() {
    assert_eq!(parse_tokens(["b, a", "c"]), parse_tokens(["b, a, c"]));
    assert_eq!(parse_tokens(["b, a", "c"]).unwrap(), ["b", "a", "c"]);
    assert_eq!(parse_offers(["x; a", "y"]), parse_offers(["x; a, y"]));
}

/// RFC 7230 section 7: empty elements are ignored, and white space is spaces and tabs.
#[test]
fn empty_elements_and_white_space_are_ignored() {
    for line in ["a,b", " a , b ", "\ta\t,\tb\t", ",a,,b,", ", ,a ,\t,, b"] {
        assert_eq!(parse_tokens([line]).unwrap(), ["a", "b"], "{line:?}");
        assert_eq!(
            parse_offers([line]).unwrap(),
            [offer("a", &[]), offer("b", &[])],
            "{line:?}"
        );
    }
    assert_eq!(parse_tokens(["", "a"]).unwrap(), ["a"]);
}

/// RFC 7230 section 7: `""`, `","` and `",   ,"` are not a `1#element`.
#[test]
fn a_list_without_elements_is_malformed() {
    for line in ["", ",", ",   ,", " \t"] {
        assert_eq!(parse_tokens([line]), Err(HeaderError::Empty), "{line:?}");
        assert_eq!(parse_offers([line]), Err(HeaderError::Empty), "{line:?}");
    }
}

#[test]
fn tokens_keep_their_case() {
    assert_eq!(parse_tokens(["AMQP, amqp"]).unwrap(), ["AMQP", "amqp"]);
    assert_eq!(
        parse_offers(["X-Foo; Bar=Baz"]).unwrap(),
        [offer("X-Foo", &[("Bar", Some("Baz"))])]
    );
}

/// RFC 6455 section 4.1 item 10: the elements of the subprotocol list are unique.
#[test]
fn a_token_listed_twice_is_malformed() {
    let duplicate = Err(HeaderError::Duplicate {
        token: "amqp".to_owned(),
    });
    assert_eq!(parse_tokens(["amqp, mqtt, amqp"]), duplicate);
    assert_eq!(parse_tokens(["amqp", "amqp"]), duplicate);
}

/// RFC 6455 section 4.1 item 10: characters U+0021 to U+007E, separators of RFC 2616 excluded.
#[test]
fn characters_outside_tokens_are_malformed() {
    for found in "()<>@;:\\\"/[]?={}\u{7f}\u{0}\u{e9}\u{200b}".chars() {
        let line = format!("am{found}qp");
        assert_eq!(
            parse_tokens([line.as_str()]),
            Err(HeaderError::Unexpected { found }),
            "{line:?}"
        );
    }
    assert_eq!(
        parse_tokens(["amqp mqtt"]),
        Err(HeaderError::Unexpected { found: 'm' })
    );
    assert_eq!(
        parse_tokens(["!#$%&'*+-.^_`|~09azAZ"]).unwrap(),
        ["!#$%&'*+-.^_`|~09azAZ"]
    );
}

/// RFC 6455 section 9.1: the examples of the section, and those of RFC 7692.
#[test]
fn offers_with_parameters() {
    for (line, expected) in [
        ("foo", vec![offer("foo", &[])]),
        ("bar; baz=2", vec![offer("bar", &[("baz", Some("2"))])]),
        ("foo, bar; baz=2", vec![offer("foo", &[]), offer("bar", &[("baz", Some("2"))])]),
        (
            "permessage-deflate; client_max_window_bits; server_max_window_bits=10, permessage-deflate",
            vec![
                offer(
                    "permessage-deflate",
                    &[("client_max_window_bits", None), ("server_max_window_bits", Some("10"))],
                ),
                offer("permessage-deflate", &[]),
            ],
        ),
        ("a \t;\tb\t= c ; d ,e", vec![offer("a", &[("b", Some("c")), ("d", None)]), offer("e", &[])]),
        ("a; b; b=1", vec![offer("a", &[("b", None), ("b", Some("1"))])]),
    ] {
        assert_eq!(parse_offers([line]), Ok(expected), "{line:?}");
    }
}

/// RFC 6455 section 9.1: when a quoted string is used, the value after unescaping must be a token.
#[test]
fn quoted_values_are_unescaped_tokens() {
    for quoted in [r#"a; b="10""#, r#"a; b="\1\0""#, r#"a;b = "1\0" "#] {
        assert_eq!(
            parse_offers([quoted]).unwrap(),
            [offer("a", &[("b", Some("10"))])],
            "{quoted}"
        );
    }
    for (line, expected) in [
        (r#"a; b="""#, HeaderError::ValueNotToken),
        (r#"a; b="1 0""#, HeaderError::ValueNotToken),
        (r#"a; b="1,0""#, HeaderError::ValueNotToken),
        (r#"a; b="1\"0""#, HeaderError::ValueNotToken),
        (r#"a; b="10"#, HeaderError::QuoteOpen),
        (r#"a; b="10\"#, HeaderError::QuoteOpen),
        (r#"a; b="10"1"#, HeaderError::Unexpected { found: '1' }),
    ] {
        assert_eq!(parse_offers([line]), Err(expected), "{line}");
    }
    // A quoted string cannot go on in the next line.
    assert_eq!(
        parse_offers([r#"a; b="1"#, r#"0""#]),
        Err(HeaderError::QuoteOpen)
    );
}

#[test]
fn malformed_offers() {
    for (line, expected) in [
        ("a;", HeaderError::UnexpectedEnd),
        ("a; b=", HeaderError::UnexpectedEnd),
        ("a;;b", HeaderError::Unexpected { found: ';' }),
        ("a; ,b", HeaderError::Unexpected { found: ',' }),
        ("a; b=, c", HeaderError::Unexpected { found: ',' }),
        ("; b", HeaderError::Unexpected { found: ';' }),
        ("a b", HeaderError::Unexpected { found: 'b' }),
        ("a=b", HeaderError::Unexpected { found: '=' }),
        ("a; b=c=d", HeaderError::Unexpected { found: '=' }),
        ("\"a\"", HeaderError::Unexpected { found: '"' }),
    ] {
        assert_eq!(parse_offers([line]), Err(expected), "{line:?}");
    }
}

#[test]
fn elements_are_bounded() {
    let list = |count: usize| {
        (0..count)
            .map(|n| format!("t{n}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    assert_eq!(
        parse_tokens([list(MAX_ELEMENTS).as_str()]).map(|tokens| tokens.len()),
        Ok(MAX_ELEMENTS)
    );
    assert_eq!(
        parse_tokens([list(MAX_ELEMENTS + 1).as_str()]),
        Err(HeaderError::TooManyElements)
    );
    let (half, other) = (list(MAX_ELEMENTS / 2), list(MAX_ELEMENTS / 2 + 1));
    assert_eq!(
        parse_offers([half.as_str(), other.as_str()]),
        Err(HeaderError::TooManyElements)
    );
}

#[test]
fn parameters_are_bounded_over_all_offers() {
    let offer = |count: usize| format!("x{}", ";p".repeat(count));
    let (half, more) = (offer(MAX_PARAMS / 2), offer(MAX_PARAMS / 2 + 1));
    assert!(parse_offers([half.as_str(), half.as_str()]).is_ok());
    assert_eq!(
        parse_offers([half.as_str(), more.as_str()]),
        Err(HeaderError::TooManyParams)
    );
}

#[test]
fn bytes_are_bounded_over_all_lines() {
    let most = "a".repeat(MAX_LIST_BYTES);
    assert!(parse_tokens([most.as_str()]).is_ok());
    assert_eq!(
        parse_tokens([most.as_str(), "b"]),
        Err(HeaderError::TooLong)
    );
    assert_eq!(
        parse_offers([most.as_str(), ","]),
        Err(HeaderError::TooLong)
    );
}

/// RFC 6455 section 4.2.1: `websocket` and `Upgrade` are compared without regard to case, among other tokens.
#[test]
fn tokens_are_found_in_any_case() {
    for line in [
        "upgrade",
        "Upgrade",
        "keep-alive, Upgrade",
        "keep-alive ,\tUPGRADE\t",
    ] {
        assert!(has_token([line], "upgrade"), "{line:?}");
    }
    assert!(has_token(["keep-alive", "upgrade"], "Upgrade"));
    for line in [
        "",
        "upgrades",
        "up grade",
        "keep-alive upgrade",
        "upgrade;q=1",
        "\"upgrade\"",
    ] {
        assert!(!has_token([line], "upgrade"), "{line:?}");
    }
    assert!(!has_token([], "upgrade"));
}

fn tokens() -> impl Strategy<Value = String> {
    "[!#$%&'*+\\-.^_`|~0-9a-zA-Z]{1,12}"
}

fn offers() -> impl Strategy<Value = Vec<Offer>> {
    let params = proptest::collection::vec((tokens(), proptest::option::of(tokens())), 0..5);
    let offer = (tokens(), params).prop_map(|(name, params)| Offer { name, params });
    proptest::collection::vec(offer, 1..8)
}

proptest! {
    /// Format and parse are inverse of one another, wherever the list is cut into lines.
    #[test]
    fn parsing_undoes_formatting(offers in offers(), cut in 0_usize..8) {
        let written: Vec<String> = offers.iter().map(Offer::to_string).collect();
        let (first, second) = written.split_at(cut.min(written.len()));
        let lines: Vec<String> = [first, second].iter().filter(|part| !part.is_empty()).map(|part| part.join(", ")).collect();
        prop_assert_eq!(parse_offers(lines.iter().map(String::as_str)), Ok(offers));
    }

    /// Quoting and escaping a value changes nothing.
    #[test]
    fn quoting_changes_nothing(name in tokens(), param in tokens(), value in tokens(), escaped in any::<u16>()) {
        let quoted: String = value
            .chars()
            .enumerate()
            .flat_map(|(index, c)| (escaped >> index & 1 == 1).then_some('\\').into_iter().chain([c]))
            .collect();
        let line = format!("{name};{param}=\"{quoted}\"");
        let expected = Offer { name, params: vec![(param, Some(value))] };
        prop_assert_eq!(parse_offers([line.as_str()]), Ok(vec![expected]));
    }

    /// Whatever comes, the parser answers, and what it accepts it can write and read again.
    #[test]
    fn any_text_is_answered(line in "[ -~\t]{0,60}|\\PC{0,30}|[ab;=,\"\\\\ ]{0,40}") {
        let _ = parse_tokens([line.as_str()]);
        let _ = has_token([line.as_str()], "upgrade");
        if let Ok(offers) = parse_offers([line.as_str()]) {
            let written = offers.iter().map(Offer::to_string).collect::<Vec<_>>().join(",");
            prop_assert_eq!(parse_offers([written.as_str()]), Ok(offers));
        }
    }
}
