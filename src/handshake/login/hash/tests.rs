//! Which hashes are taken, and that they are of the algorithm they name.

use super::*;

const SALT: &str = "c2FsdCBvZiB0aGUgdGVzdA";
const OUTPUT: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn with_params(params: &str) -> Result<Hash, String> {
    Hash::parse(&format!("$argon2id$v=19${params}${SALT}${OUTPUT}"))
}

/// Two of the vectors in the test of the reference implementation (`src/test.c`, version 19, argon2id).
#[test]
fn hashes_of_the_reference_implementation_match() {
    let hash =
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    let hash = Hash::parse(hash).unwrap();
    assert!(hash.matches("password"));
    assert!(!hash.matches("passwords"));
    let hash =
        "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc";
    assert!(Hash::parse(hash).unwrap().matches("password"));
}

#[test]
fn only_argon2id_of_version_19_is_taken() {
    assert!(with_params("m=8,t=1,p=1").is_ok());
    let m = "m=8,t=1,p=1";
    for wrong in [
        String::new(),
        "geheim".to_owned(),
        "$2b$12$geheim".to_owned(),
        format!("$argon2i$v=19${m}${SALT}${OUTPUT}"),
        format!("$argon2d$v=19${m}${SALT}${OUTPUT}"),
        format!(" $argon2id$v=19${m}${SALT}${OUTPUT}"),
        format!("$argon2id${m}${SALT}${OUTPUT}"),
        format!("$argon2id$v=16${m}${SALT}${OUTPUT}"),
        format!("$argon2id$v=19${SALT}${OUTPUT}"),
        format!("$argon2id$v=19${m}${SALT}"),
        format!("$argon2id$v=19${m}"),
        format!("$argon2id$v=19${m}$c2FsdA${OUTPUT}"),
        format!("$argon2id$v=19${m}${SALT}$AAAA"),
        format!("$argon2id$v=19${m}${SALT}${OUTPUT}="),
        format!("$argon2id$v=19${m}${SALT}${OUTPUT}$x"),
        format!("$argon2id$v=19${m}${SALT}${OUTPUT}\n"),
    ] {
        let error = Hash::parse(&wrong).unwrap_err();
        for secret in [SALT, OUTPUT, "geheim"] {
            assert!(!error.contains(secret), "{error}");
        }
    }
}

#[test]
fn parameters_are_bounded() {
    for params in ["m=1048576,t=1,p=1", "m=8,t=100,p=1", "m=128,t=1,p=16"] {
        assert!(with_params(params).is_ok(), "{params}");
    }
    for params in [
        "m=1048577,t=1,p=1",
        "m=8,t=101,p=1",
        "m=136,t=1,p=17",
        "m=4294967295,t=4294967295,p=1",
        "m=99999999999,t=1,p=1",
        "m=7,t=1,p=1",
        "m=15,t=1,p=2",
        "m=8,t=0,p=1",
        "m=8,t=1,p=0",
        "m=8,t=1,p=536870912",
        "m=8,t=1",
        "m=8,t=1,p=1,x=1",
        "m=-8,t=1,p=1",
    ] {
        assert!(with_params(params).is_err(), "{params}");
    }
    let error = with_params("m=1048577,t=1,p=1").unwrap_err();
    assert_eq!(error, "is too costly: m is 1048577, at most 1048576");
}

#[test]
fn nobody_has_a_hash_of_the_same_cost_that_nothing_matches() {
    let cost = Hash::parse(&cheap("geheim")).unwrap().cost();
    let nobody = Hash::of_nobody(cost);
    assert_eq!(nobody.cost(), cost);
    assert!(!nobody.matches("geheim"));
    assert!(!nobody.matches(""));
}

#[test]
fn nothing_of_it_is_shown() {
    let text = cheap("geheim");
    let hash = Hash::parse(&text).unwrap();
    let shown = format!("{hash:?}");
    let output = text.rsplit('$').next().unwrap();
    assert!(shown.contains("***") && !shown.contains(output), "{shown}");
}
