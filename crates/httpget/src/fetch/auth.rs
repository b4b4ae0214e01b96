//! Credentials and cookies: logins, tokens and the answers to challenges, each for
//! its own origin only.

use std::path::Path;
use std::sync::{OnceLock, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{Error, Kind, Result};
use url::Url;

use super::Transfer;
use crate::http::date;
use crate::http::head::Head;
use crate::policy::{cookie, digest, request_url};
use crate::prompt;

/// The public suffix list on Debian and on other systems.
const LIST_PATHS: [&str; 2] = [
    "/usr/share/publicsuffix/public_suffix_list.dat",
    "/usr/share/publicsuffix/effective_tld_names.dat",
];

/// The public suffix list of the system, read when a cookie needs it.
#[derive(Debug, Default)]
pub(crate) struct PublicSuffixes(OnceLock<Option<String>>);

impl PublicSuffixes {
    fn is_public(&self, domain: &str) -> Option<bool> {
        let list = self.0.get_or_init(|| {
            let mut lists = LIST_PATHS.iter().map(Path::new);
            lists.find_map(|path| std::fs::read_to_string(path).ok())
        });
        list.as_ref().map(|list| cookie::is_public(list, domain))
    }
}

impl Transfer<'_, '_> {
    /// Returns user and password for a URL: those of the command line and of the
    /// operand for a trusted origin, those of a netrc file for its hosts.
    fn credentials(&self, url: &Url, trusted: bool) -> Result<Option<(String, String)>> {
        let config = self.context.config;
        let host = request_url::host(url);
        let is_from_option = config.credentials.user.is_some() && self.redirect_user.is_none();
        let login = self
            .redirect_user
            .as_ref()
            .or(config.credentials.user.as_ref())
            .or(self.job.request.user.as_ref());
        Ok(match login.filter(|_| trusted) {
            Some((user, Some(password))) => Some((user.clone(), password.clone())),
            Some((user, None)) => match config.credentials.netrc.find(host, Some(user), trusted) {
                Some(found) => Some(found),
                None if is_from_option => {
                    let asked = self.context.password.get_or_init(|| prompt::password(user));
                    Some((user.clone(), asked.clone()?))
                }
                None => Some((user.clone(), String::new())),
            },
            None => config.credentials.netrc.find(host, None, trusted),
        })
    }

    /// Returns the value of Authorization, if it needs no challenge.
    pub(super) fn authorization(&self, url: &Url, trusted: bool) -> Result<Option<String>> {
        let config = self.context.config;
        if let Some(token) = config.credentials.bearer.as_ref().filter(|_| trusted) {
            return Ok(Some(format!("Bearer {token}")));
        }
        if config.credentials.digest {
            return Ok(None);
        }
        Ok(self.credentials(url, trusted)?.map(|(user, password)| {
            let pair = STANDARD.encode(format!("{user}:{password}"));
            format!("Basic {pair}")
        }))
    }

    /// Returns the value of Authorization that answers a challenge.
    pub(super) fn answer_challenge(
        &self,
        head: &Head,
        url: &Url,
        trusted: bool,
    ) -> Result<Option<String>> {
        let config = self.context.config;
        if !config.credentials.digest || head.status != 401 {
            return Ok(None);
        }
        let Some(challenge) = digest::challenge(head) else {
            return Ok(None);
        };
        let Some((user, password)) = self.credentials(url, trusted)? else {
            return Ok(None);
        };
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|_| Error::new(Kind::System, "the system has no random numbers"))?;
        let method = config.request.method();
        let uri = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let cnonce = crate::hex::encode(&random);
        Ok(Some(challenge.answer(
            method,
            &uri,
            (&user, &password),
            &cnonce,
        )))
    }

    /// Returns the value of the Cookie header for a URL.
    pub(super) fn cookie_header(&self, url: &Url, trusted: bool) -> Option<String> {
        let given = self
            .context
            .config
            .cookies
            .header
            .clone()
            .filter(|_| trusted);
        let stored = self.context.jar.as_ref().and_then(|jar| {
            let jar = jar.lock().unwrap_or_else(PoisonError::into_inner);
            jar.header(url, date::now())
        });
        match (stored, given) {
            (Some(stored), Some(given)) => Some(format!("{stored}; {given}")),
            (stored, given) => stored.or(given),
        }
    }

    /// Stores the Set-Cookie headers of a cookie file for the requested URL, unless
    /// the jar has such cookies already.
    pub(super) fn store_given_cookies(&self) {
        let Some(jar) = &self.context.jar else { return };
        let mut jar = jar.lock().unwrap_or_else(PoisonError::into_inner);
        let is_public = |domain: &str| self.context.public_suffixes.is_public(domain);
        for value in &self.context.given_cookies {
            jar.insert_new(value, &self.job.request.url, date::now(), &is_public);
        }
    }

    /// Stores the cookies of a response.
    pub(super) fn store_cookies(&self, head: &Head, url: &Url) {
        let Some(jar) = &self.context.jar else { return };
        let mut jar = jar.lock().unwrap_or_else(PoisonError::into_inner);
        let is_public = |domain: &str| self.context.public_suffixes.is_public(domain);
        for value in head.all("set-cookie").take(cookie::RESPONSE_MAX) {
            jar.insert(value, url, date::now(), &is_public);
        }
    }
}
