//! Who may use the private listener: the token of `admin.token_file`, and browsers that have shown it once.

use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Instant;

use sha2::Digest as _;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::admin::config::Config;
use crate::admin::tickets::Digest;
use crate::admin::tickets::Guesses;
use crate::admin::tickets::Tickets;

/// Decides who may come in. Nobody is asked where no token is configured.
pub struct Keys {
    file: Option<PathBuf>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The hash of the token.
    token: Digest,
    /// How often the token has changed.
    generation: u64,
    tickets: Tickets,
    guesses: Guesses,
}

/// By what somebody was let in; good until it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Nobody is asked.
    Open,
    /// The token, as of this generation.
    Token(u64),
    /// The cookie of a browser that has logged in.
    Ticket(Digest),
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Nothing was shown that could be good, or it is good no longer.
    Missing,
    /// The token is another one.
    Wrong,
    /// Too many were wrong just now.
    TooMany,
}

/// What a browser is given: shown once, kept nowhere.
pub struct Cookie(pub Zeroizing<String>);

impl Keys {
    /// The token of the file that the settings name.
    ///
    /// # Errors
    /// Why it is no token, with the key.
    pub fn load(config: &Config) -> Result<Self, String> {
        let keys = Self {
            file: config.token_file.clone(),
            known: Mutex::default(),
        };
        keys.reload()?;
        Ok(keys)
    }

    /// Reads the file again. Another token ends whatever the last one opened.
    ///
    /// # Errors
    /// Why it is no token, with the key; the last one stays.
    pub fn reload(&self) -> Result<(), String> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let failed = |reason: String| format!("admin.token_file: {}: {reason}", file.display());
        let bytes = Zeroizing::new(fs::read(file).map_err(|error| failed(error.to_string()))?);
        let token = bytes.trim_ascii();
        if !(SHORTEST..=LONGEST).contains(&token.len()) || !token.iter().all(u8::is_ascii_graphic) {
            return Err(failed(format!(
                "a token has {SHORTEST} to {LONGEST} visible characters"
            )));
        }
        let token = hash(token);
        let mut known = self.lock();
        if known.token != token {
            known.token = token;
            known.generation += 1;
            known.tickets.clear();
        }
        Ok(())
    }

    /// Whether anybody is asked.
    pub fn are_asked_for(&self) -> bool {
        self.file.is_some()
    }

    /// Lets in who shows the token (`Authorization: Bearer`) or the cookie of a login.
    ///
    /// # Errors
    /// Why not.
    pub fn check(
        &self,
        authorization: Option<&str>,
        cookie: Option<&str>,
        address: IpAddr,
        now: Instant,
    ) -> Result<Pass, Denied> {
        if self.file.is_none() {
            return Ok(Pass::Open);
        }
        let bearer = authorization.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        if let Some(token) = bearer {
            return self.check_token(token, address);
        }
        let ticket = cookie.map(|cookie| hash(cookie.as_bytes()));
        match ticket {
            Some(ticket) if self.lock().tickets.has(&ticket, now) => Ok(Pass::Ticket(ticket)),
            _ => Err(Denied::Missing),
        }
    }

    fn check_token(&self, token: &str, address: IpAddr) -> Result<Pass, Denied> {
        let known = self.lock();
        if known.guesses.has_too_many(address) {
            return Err(Denied::TooMany);
        }
        let is_right: bool = hash(token.as_bytes()).ct_eq(&known.token).into();
        // Whoever knows the token comes in however many guess; a wrong one that cannot be counted is not a guess to wait for.
        if is_right {
            Ok(Pass::Token(known.generation))
        } else if known.guesses.has_room_for(address) {
            Err(Denied::Wrong)
        } else {
            Err(Denied::TooMany)
        }
    }

    /// A cookie for a browser that has shown the token.
    ///
    /// # Errors
    /// Why not, or that the system has no randomness.
    pub fn log_in(&self, token: &str, address: IpAddr, now: Instant) -> Result<Cookie, Denied> {
        self.check_token(token, address)?;
        let mut random = Zeroizing::new([0; 32]);
        if getrandom::fill(random.as_mut()).is_err() {
            return Err(Denied::Missing);
        }
        let mut text = Zeroizing::new(String::with_capacity(64));
        for byte in random.iter() {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
            }
        }
        let ticket = hash(text.as_bytes());
        self.lock().tickets.add(ticket, now);
        Ok(Cookie(text))
    }

    /// Ends a login.
    pub fn log_out(&self, pass: Pass) {
        if let Pass::Ticket(ticket) = pass {
            self.lock().tickets.remove(&ticket);
        }
    }

    /// Whether whoever was let in by this may stay.
    pub fn is_good(&self, pass: Pass, now: Instant) -> bool {
        match pass {
            Pass::Open => self.file.is_none(),
            Pass::Token(generation) => self.lock().generation == generation,
            Pass::Ticket(ticket) => self.lock().tickets.has(&ticket, now),
        }
    }

    /// The answer to a wrong token is held back from now on.
    pub fn hold_back(&self, address: IpAddr) {
        self.lock().guesses.begin(address);
    }

    /// The answer to a wrong token was given.
    pub fn answered(&self, address: IpAddr) {
        self.lock().guesses.end(address);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Keys {
    /// Says only where the token is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// One round of a fast hash: what is hashed is random, or nobody could guess it in a year at the pace that is allowed.
fn hash(secret: &[u8]) -> Digest {
    Sha256::digest(secret).into()
}

/// With letters and digits some 95 bits.
const SHORTEST: usize = 16;

/// More than any token that a person or a program makes.
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::admin::tickets::LIFE;
    use crate::admin::tickets::MOST_GUESSERS;

    const TOKEN: &str = "sixteen-and-more-characters";
    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    struct File(PathBuf);

    impl File {
        fn new(name: &str, text: &str) -> Self {
            let name = format!("smeuse-keys-{}-{name}", std::process::id());
            let file = Self(std::env::temp_dir().join(name));
            file.write(text);
            file
        }

        fn write(&self, text: &str) {
            fs::write(&self.0, text).unwrap();
        }

        fn load(&self) -> Result<Keys, String> {
            Keys::load(&Config {
                token_file: Some(self.0.clone()),
                ..Config::default()
            })
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn nobody_is_asked_without_a_file() {
        let keys = Keys::load(&Config::default()).unwrap();
        let pass = keys.check(None, None, ADDRESS, Instant::now());
        assert_eq!(pass, Ok(Pass::Open));
        assert!(!keys.are_asked_for());
    }

    #[test]
    fn the_token_or_a_cookie_for_it_opens() {
        let file = File::new("opens", &format!("{TOKEN}\n"));
        let keys = file.load().unwrap();
        let now = Instant::now();
        let check = |authorization: Option<&str>, cookie: Option<&str>| {
            keys.check(authorization, cookie, ADDRESS, now)
        };
        let bearer = format!("Bearer {TOKEN}");
        assert_eq!(check(Some(&bearer), None), Ok(Pass::Token(1)));
        assert_eq!(
            check(Some(&bearer.to_lowercase()), None),
            Ok(Pass::Token(1))
        );
        for wrong in ["Bearer another", "Bearer ", &format!("{bearer}x")] {
            assert_eq!(check(Some(wrong), None), Err(Denied::Wrong), "{wrong}");
        }
        for missing in [None, Some("Basic eA=="), Some(TOKEN)] {
            assert_eq!(check(missing, None), Err(Denied::Missing), "{missing:?}");
        }
        assert_eq!(check(None, Some(TOKEN)), Err(Denied::Missing));

        assert_eq!(keys.log_in("no", ADDRESS, now).err(), Some(Denied::Wrong));
        let cookie = keys.log_in(TOKEN, ADDRESS, now).unwrap().0;
        assert_eq!(cookie.len(), 64);
        let pass = check(None, Some(&cookie)).unwrap();
        assert!(keys.is_good(pass, now + LIFE - Duration::from_secs(1)));
        assert!(!keys.is_good(pass, now + LIFE));
        keys.log_out(pass);
        assert_eq!(check(None, Some(&cookie)), Err(Denied::Missing));
    }

    #[test]
    fn another_token_ends_what_the_last_one_opened() {
        let file = File::new("reload", TOKEN);
        let keys = file.load().unwrap();
        let now = Instant::now();
        let cookie = keys.log_in(TOKEN, ADDRESS, now).unwrap().0;
        let passes = [
            Pass::Token(1),
            keys.check(None, Some(&cookie), ADDRESS, now).unwrap(),
        ];
        keys.reload().unwrap();
        assert!(passes.iter().all(|pass| keys.is_good(*pass, now)));
        file.write("too short");
        let error = keys.reload().unwrap_err();
        assert!(error.starts_with("admin.token_file: "), "{error}");
        assert!(passes.iter().all(|pass| keys.is_good(*pass, now)));
        file.write("another-token-of-some-length");
        keys.reload().unwrap();
        assert!(!passes.iter().any(|pass| keys.is_good(*pass, now)));
    }

    #[test]
    fn who_guesses_has_to_wait() {
        let file = File::new("guess", TOKEN);
        let keys = file.load().unwrap();
        for _ in 0..4 {
            assert_eq!(keys.check_token("no", ADDRESS), Err(Denied::Wrong));
            keys.hold_back(ADDRESS);
        }
        assert_eq!(keys.check_token(TOKEN, ADDRESS), Err(Denied::TooMany));
        let other = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(keys.check_token(TOKEN, other), Ok(Pass::Token(1)));
        keys.answered(ADDRESS);
        assert_eq!(keys.check_token(TOKEN, ADDRESS), Ok(Pass::Token(1)));
    }

    #[test]
    fn however_many_guess_the_token_opens() {
        let file = File::new("many", TOKEN);
        let keys = file.load().unwrap();
        let address = |number: usize| IpAddr::from(u32::try_from(number).unwrap().to_be_bytes());
        for number in 1..=MOST_GUESSERS {
            assert_eq!(keys.check_token("no", address(number)), Err(Denied::Wrong));
            keys.hold_back(address(number));
        }
        let new = address(MOST_GUESSERS + 1);
        assert_eq!(keys.check_token("no", new), Err(Denied::TooMany));
        assert_eq!(keys.check_token(TOKEN, new), Ok(Pass::Token(1)));
        // One that guesses itself still waits.
        for _ in 0..3 {
            assert_eq!(keys.check_token("no", address(1)), Err(Denied::Wrong));
            keys.hold_back(address(1));
        }
        assert_eq!(keys.check_token(TOKEN, address(1)), Err(Denied::TooMany));
    }

    #[test]
    fn only_tokens_are_taken_and_none_is_printed() {
        for (name, text) in [
            ("short", "fifteen-letters"),
            ("space", "with a space in it"),
            ("empty", ""),
        ] {
            assert!(File::new(name, text).load().is_err(), "{name}");
        }
        let file = File::new("print", TOKEN);
        assert!(!format!("{:?}", file.load().unwrap()).contains(TOKEN));
    }
}
