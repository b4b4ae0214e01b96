//! Logins and tokens, and the answers to challenges, each for its own origin only.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{Error, Kind, Result};
use url::Url;

use super::context::{Context, UrlJob};
use crate::http::head::Head;
use crate::policy::digest;
use crate::policy::request_url::{self, User};
use crate::prompt;

/// The logins of one attempt.
pub(super) struct Logins<'a> {
    context: &'a Context<'a>,
    job: &'a UrlJob,
    /// The credentials in a Location header that refers to the trusted origin.
    redirect_credentials: Option<User>,
}

impl<'a> Logins<'a> {
    pub(super) fn new(context: &'a Context<'a>, job: &'a UrlJob) -> Self {
        Self {
            context,
            job,
            redirect_credentials: None,
        }
    }

    /// Forgets the credentials of an earlier redirect.
    pub(super) fn reset(&mut self) {
        self.redirect_credentials = None;
    }

    /// Uses the credentials of a redirect to `url`, if that is of the trusted origin.
    pub(super) fn follow(&mut self, url: &Url, user: Option<User>) {
        if user.is_some() && url.origin() == self.job.trusted_origin {
            self.redirect_credentials = user;
        }
    }

    /// Whether credentials are sent to this URL.
    pub(super) fn trusts(&self, url: &Url) -> bool {
        url.origin() == self.job.trusted_origin || self.context.config.redirects.trusts_all
    }

    /// Returns user and password for a URL: those of the command line and of the
    /// operand for a trusted origin, those of a netrc file for its hosts.
    fn credentials(&self, url: &Url) -> Result<Option<(String, String)>> {
        let trusted = self.trusts(url);
        let config = &self.context.config.credentials;
        let host = request_url::host(url);
        let is_from_option = config.user.is_some() && self.redirect_credentials.is_none();
        let given = self.redirect_credentials.as_ref().or(config.user.as_ref());
        let login = given.or(self.job.request.user.as_ref());
        Ok(match login.filter(|_| trusted) {
            Some((user, Some(password))) => Some((user.clone(), password.clone())),
            Some((user, None)) => match config.netrc.find(host, Some(user), trusted) {
                Some(found) => Some(found),
                None if is_from_option => {
                    let asked = self.context.password.get_or_init(|| prompt::password(user));
                    Some((user.clone(), asked.clone()?))
                }
                None => Some((user.clone(), String::new())),
            },
            None => config.netrc.find(host, None, trusted),
        })
    }

    /// Returns the value of Authorization, if it needs no challenge.
    pub(super) fn authorization(&self, url: &Url) -> Result<Option<String>> {
        let config = &self.context.config.credentials;
        if let Some(token) = config.bearer.as_ref().filter(|_| self.trusts(url)) {
            return Ok(Some(format!("Bearer {token}")));
        }
        if config.digest {
            return Ok(None);
        }
        Ok(self.credentials(url)?.map(|(user, password)| {
            let pair = STANDARD.encode(format!("{user}:{password}"));
            format!("Basic {pair}")
        }))
    }

    /// Returns the value of Authorization that answers a challenge.
    pub(super) fn answer_challenge(&self, head: &Head, url: &Url) -> Result<Option<String>> {
        if !self.context.config.credentials.digest || head.status != 401 {
            return Ok(None);
        }
        let Some(challenge) = digest::challenge(head) else {
            return Ok(None);
        };
        let Some((user, password)) = self.credentials(url)? else {
            return Ok(None);
        };
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|_| Error::new(Kind::System, "the system returned no random bytes"))?;
        let uri = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let cnonce = crate::hex::encode(&random);
        Ok(Some(challenge.authorization(
            self.context.config.request.method(),
            &uri,
            (&user, &password),
            &cnonce,
        )))
    }
}
