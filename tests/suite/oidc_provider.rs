//! A provider of OpenID Connect that can lie: about itself, its keys, and who signed in. It checks what a real one checks of a
//! client: its secret, the code, the verifier and the address that people come back to.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use counterfoil::clock::{self, SECOND};
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub(crate) const CLIENT: &str = "counterfoil";
pub(crate) const SECRET: &str = "a secret: with/odd+marks%";

/// How an ID token is signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Signed {
    Rightly,
    /// By a key that is not published, under the name of one that is.
    ByAnotherKey,
    /// `alg: none`, and no signature.
    Not,
    /// As it should be, with the signature left out.
    WithoutSignature,
    /// With the client's secret as the key.
    WithTheSecret,
    /// With what is published as the key.
    WithThePublicKey,
    /// By somebody else and changed afterwards.
    Changed,
}

/// How a path answers in place of what it should.
#[derive(Clone, Debug)]
pub(crate) enum Answers {
    Status(u16),
    With(Value),
    /// Bytes without an end.
    Endlessly,
    /// Nothing, and the connection stays.
    Never,
}

struct Code {
    claims: Value,
    signed: Signed,
    challenge: String,
    redirect_uri: String,
}

#[derive(Default)]
struct State {
    codes: HashMap<String, Code>,
    answers: HashMap<&'static str, Answers>,
    user_info: Option<Value>,
    asked: Vec<String>,
    made: usize,
    names_itself: bool,
}

#[derive(Clone)]
pub(crate) struct Provider {
    at: SocketAddr,
    state: Arc<Mutex<State>>,
    key: Arc<Mutex<(String, EcdsaKeyPair)>>,
}

fn pair() -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random).unwrap()
}

/// What stands in a query.
pub(crate) fn query(address: &str) -> HashMap<String, String> {
    let query = address.split_once('?').map(|(_, query)| query).unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

impl Provider {
    pub(crate) fn start() -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let provider = Provider { at, state: Arc::default(), key: Arc::new(Mutex::new(("k0".into(), pair()))) };
        let theirs = provider.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let provider = theirs.clone();
                std::thread::spawn(move || provider.serve(stream.unwrap()));
            }
        });
        provider
    }

    pub(crate) fn issuer(&self) -> String {
        format!("http://{}/tenant", self.at)
    }

    /// From now on it signs with another key, and publishes that alone.
    pub(crate) fn rotate(&self) {
        let mut key = self.key.lock().unwrap();
        *key = (format!("{}+", key.0), pair());
    }

    pub(crate) fn answers(&self, path: &'static str, answers: Answers) {
        self.state.lock().unwrap().answers.insert(path, answers);
    }

    pub(crate) fn answers_as_it_should(&self) {
        self.state.lock().unwrap().answers.clear();
    }

    pub(crate) fn always_names_itself(&self) {
        self.state.lock().unwrap().names_itself = true;
    }

    pub(crate) fn says_more(&self, user_info: Value) {
        self.state.lock().unwrap().user_info = Some(user_info);
    }

    /// How often a path was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.state.lock().unwrap().asked.iter().filter(|asked| *asked == path).count()
    }

    /// Signs somebody in who was sent to this address. The claims are those of a right token, with these in place of its own (null takes
    /// one away).
    pub(crate) fn code(&self, sent_to: &str, claims: &Value, signed: Signed) -> String {
        let asked = query(sent_to);
        let now = clock::now() / SECOND;
        let mut all = json!({
            "iss": self.issuer(), "aud": CLIENT, "nonce": asked["nonce"], "iat": now, "exp": now + 300,
            "sub": "amy-1", "email": "amy@council.example", "email_verified": true,
        });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let mut state = self.state.lock().unwrap();
        state.made += 1;
        let name = format!("code-{}", state.made);
        let (challenge, redirect_uri) = (asked["code_challenge"].clone(), asked["redirect_uri"].clone());
        state.codes.insert(name.clone(), Code { claims: all, signed, challenge, redirect_uri });
        name
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut first, mut authorization, mut length) = (String::new(), String::new(), 0);
        reader.read_line(&mut first).unwrap();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let (name, value) = line.split_once(':').unwrap_or_default();
            match name.to_lowercase().as_str() {
                "" => break,
                "authorization" => value.trim().clone_into(&mut authorization),
                "content-length" => length = value.trim().parse().unwrap(),
                _ => (),
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let path = first.split(' ').nth(1).unwrap_or_default().strip_prefix("/tenant").unwrap_or_default().to_owned();
        let lie = {
            let mut state = self.state.lock().unwrap();
            state.asked.push(path.clone());
            state.answers.get(path.as_str()).cloned()
        };
        let (status, value) = match lie {
            Some(Answers::Status(status)) => (status, json!({})),
            Some(Answers::With(value)) => (200, value),
            Some(Answers::Endlessly) => {
                let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"issuer\": \"";
                let mut sent = stream.write_all(head);
                while sent.is_ok() {
                    sent = stream.write_all(&[b'x'; 8192]);
                }
                return;
            }
            Some(Answers::Never) => {
                let _closed = reader.read_to_end(&mut body).is_ok();
                return;
            }
            None => self.answer(&path, &authorization, &body),
        };
        let body = value.to_string();
        let head = format!(
            "HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let _sent = stream.write_all((head + &body).as_bytes()).is_ok();
    }

    fn answer(&self, path: &str, authorization: &str, body: &[u8]) -> (u16, Value) {
        match path {
            "/.well-known/openid-configuration" => (200, self.configuration()),
            "/keys" => {
                let key = self.key.lock().unwrap();
                let point = key.1.public_key().as_ref();
                let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
                (200, json!({"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "kid": key.0, "x": x, "y": y}]}))
            }
            "/token" => self.token(authorization, body).unwrap_or((400, json!({"error": "invalid_grant"}))),
            "/userinfo" if authorization == "Bearer access" => {
                (200, self.state.lock().unwrap().user_info.clone().unwrap_or(json!({"sub": "amy-1"})))
            }
            _ => (404, json!({})),
        }
    }

    pub(crate) fn configuration(&self) -> Value {
        let issuer = self.issuer();
        json!({
            "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize?p=1"), "jwks_uri": format!("{issuer}/keys"),
            "token_endpoint": format!("{issuer}/token"), "userinfo_endpoint": format!("{issuer}/userinfo"),
            "authorization_response_iss_parameter_supported": self.state.lock().unwrap().names_itself,
        })
    }

    fn token(&self, authorization: &str, body: &[u8]) -> Option<(u16, Value)> {
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let expected = STANDARD.encode(format!("{}:{}", encoded(CLIENT), encoded(SECRET)));
        if authorization != format!("Basic {expected}") {
            return Some((401, json!({"error": "invalid_client"})));
        }
        let form: HashMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let code = self.state.lock().unwrap().codes.remove(&form["code"])?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(form.get("code_verifier")?));
        let right = challenge == code.challenge
            && form["redirect_uri"] == code.redirect_uri
            && form["grant_type"] == "authorization_code";
        right.then(|| {
            let token = self.id_token(&code);
            (200, json!({"id_token": token, "access_token": "access", "token_type": "Bearer", "expires_in": 300}))
        })
    }

    fn id_token(&self, code: &Code) -> String {
        let key = self.key.lock().unwrap();
        let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let algorithm = match code.signed {
            Signed::Not => "none",
            Signed::WithTheSecret | Signed::WithThePublicKey => "HS256",
            _ => "ES256",
        };
        let message = format!("{}.{}", encoded(&json!({"alg": algorithm, "kid": key.0})), encoded(&code.claims));
        let by = |pair: &EcdsaKeyPair| pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec();
        let with = |secret: &[u8]| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
            mac.update(message.as_bytes());
            mac.finalize().into_bytes().to_vec()
        };
        let signature = match code.signed {
            Signed::Rightly | Signed::Changed => by(&key.1),
            Signed::ByAnotherKey => by(&pair()),
            Signed::Not | Signed::WithoutSignature => Vec::new(),
            Signed::WithTheSecret => with(SECRET.as_bytes()),
            Signed::WithThePublicKey => with(key.1.public_key().as_ref()),
        };
        let mut token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
        if code.signed == Signed::Changed {
            let mut other = code.claims.clone();
            other["email"] = json!("admin@council.example");
            token = token.replace(&encoded(&code.claims), &encoded(&other));
        }
        token
    }
}
