//! Credentials: kept until shortly before they end, renewed while they still hold, and asked for again
//! for a while where nobody gives them.
//!
//! Whoever gives credentials (STS, the agents of ECS and EKS, the metadata of an instance) restarts,
//! throttles and hangs like any other service. The SDK asks a few times within seconds; this asks for as
//! long as its user has patience, and tells a refusal from a failure.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_config::identity::IdentityCache;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_smithy_runtime_api::client::identity::{Identity, SharedIdentityCache};
use tokio::time::{Instant, sleep_until, timeout};

use crate::aws::cause::NoCredentials;
use crate::aws::connector::Noting;

/// One attempt may take this part of the patience: 10 seconds of a minute, in which the SDK has asked three
/// times.
const ATTEMPT: u32 = 6;
/// Pause after the first attempt, as a part of the patience; each further one is twice as long, up to
/// that of an attempt.
const FIRST_PAUSE: u32 = 60;

/// Credentials are renewed this long before they end, as the SDK does by default for its own.
const RENEW_BEFORE: Duration = Duration::from_secs(300);
/// While they still hold, it is tried this often.
const RENEW_EVERY: Duration = Duration::from_secs(10);

/// The credentials of one client; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    provider: SharedCredentialsProvider,
    answers: Noting,
    patience: Duration,
    held: Mutex<Option<Arc<KnownCredentials>>>,
    /// Held by whoever asks; when asking has failed last, and how.
    asking: tokio::sync::Mutex<Option<(Instant, NoCredentials)>>,
}

#[derive(Debug)]
struct KnownCredentials {
    credentials: Credentials,
    /// The same, as signers take them.
    identity: Identity,
    /// How many there were before.
    number: u64,
    /// When they were asked for last.
    asked_at: Instant,
}

impl KnownCredentials {
    fn ends_within(&self, time: Duration) -> bool {
        let ends = self.credentials.expiry();
        ends.is_some_and(|ends| ends <= SystemTime::now() + time)
    }

    fn was_just_asked_for(&self) -> bool {
        self.asked_at.elapsed() < RENEW_EVERY
    }
}

impl Keeper {
    /// What gives credentials to `config`, whose requests `answers` notes.
    pub(crate) fn of(config: &SdkConfig, answers: Noting, patience: Duration) -> Option<Self> {
        Some(Self {
            shared: Arc::new(Shared {
                provider: config.credentials_provider()?,
                answers,
                patience,
                held: Mutex::default(),
                asking: tokio::sync::Mutex::default(),
            }),
        })
    }

    /// Hands itself to a client of the SDK, which need not keep any.
    pub(crate) fn give_to(
        &self,
        client: impl FnOnce(SharedCredentialsProvider, SharedIdentityCache),
    ) {
        let provider = SharedCredentialsProvider::new(self.clone());
        client(provider, IdentityCache::no_cache());
    }

    /// Sees to it that there are credentials; which ones, to ask for others.
    pub(crate) async fn ready(&self) -> Result<u64, NoCredentials> {
        Ok(self.held().await?.number)
    }

    /// Asks again where those of this number are refused, unless somebody has already; whether there
    /// are others now.
    pub(crate) async fn others_than(&self, number: u64) -> Result<bool, NoCredentials> {
        let is_other = |held: &KnownCredentials| held.number != number;
        let held = self.shared.ask_in_turn(is_other, Some(number)).await?;
        Ok(is_other(&held))
    }

    /// The credentials, to sign with.
    pub(crate) async fn identity(&self) -> Result<Identity, NoCredentials> {
        Ok(self.held().await?.identity.clone())
    }

    async fn held(&self) -> Result<Arc<KnownCredentials>, NoCredentials> {
        let shared = &self.shared;
        let usable = match shared.known() {
            Some(held) if !held.ends_within(RENEW_BEFORE) || held.was_just_asked_for() => {
                return Ok(held);
            }
            held => held.filter(|held| !held.ends_within(Duration::ZERO)),
        };
        let Some(held) = usable else {
            return shared
                .ask_in_turn(KnownCredentials::was_just_asked_for, None)
                .await;
        };
        // Nobody waits for what is not needed yet.
        let Ok(_asking) = shared.asking.try_lock() else {
            return Ok(held);
        };
        match shared.ask().await {
            Ok(renewed) => Ok(renewed),
            Err(_) => {
                shared.keep(held.credentials.clone());
                Ok(held)
            }
        }
    }
}

impl Shared {
    fn known(&self) -> Option<Arc<KnownCredentials>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.clone()
    }

    fn keep(&self, credentials: Credentials) -> Arc<KnownCredentials> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let number = match &*held {
            None => 0,
            Some(held) if held.credentials == credentials => held.number,
            Some(held) => held.number + 1,
        };
        let now = Arc::new(KnownCredentials {
            identity: credentials.clone().into(),
            credentials,
            number,
            asked_at: Instant::now(),
        });
        *held = Some(now.clone());
        now
    }

    /// Asks for a while, unless somebody has meanwhile: then that came of it for all who wait.
    async fn ask_in_turn(
        &self,
        will_do: impl Fn(&KnownCredentials) -> bool,
        refused: Option<u64>,
    ) -> Result<Arc<KnownCredentials>, NoCredentials> {
        let began = Instant::now();
        let mut last_failure = self.asking.lock().await;
        let is_new = |held: &Arc<KnownCredentials>| will_do(held) || held.asked_at > began;
        if let Some(held) = self.known().filter(is_new) {
            return Ok(held);
        }
        if let Some((at, failure)) = &*last_failure
            && *at > began
        {
            return Err(failure.clone());
        }
        let asked = self.ask_patiently(refused).await;
        if let Err(failure) = &asked {
            *last_failure = Some((Instant::now(), failure.clone()));
        }
        asked
    }

    /// Asks for a while. Those of the number `refused` do not count once they have ended: some give out
    /// the last they had for as long as they cannot get others.
    async fn ask_patiently(
        &self,
        refused: Option<u64>,
    ) -> Result<Arc<KnownCredentials>, NoCredentials> {
        let deadline = Instant::now() + self.patience;
        let mut pause = self.patience / FIRST_PAUSE;
        loop {
            let asked = match self.ask().await {
                Ok(held) if Some(held.number) == refused && held.ends_within(Duration::ZERO) => {
                    let text = "there are none but those that have ended".to_owned();
                    Err(NoCredentials::Unavailable(text))
                }
                asked => asked,
            };
            match asked {
                Err(NoCredentials::Unavailable(_)) if Instant::now() < deadline => {}
                result => return result,
            }
            sleep_until(deadline.min(Instant::now() + pause)).await;
            pause = (pause * 2).min(self.patience / ATTEMPT);
        }
    }

    async fn ask(&self) -> Result<Arc<KnownCredentials>, NoCredentials> {
        self.answers.take_status();
        let patience = self.patience / ATTEMPT;
        let asked = timeout(patience, self.provider.provide_credentials()).await;
        let status = self.answers.take_status();
        let error = match asked {
            Ok(Ok(credentials)) => return Ok(self.keep(credentials)),
            Ok(Err(error)) => error,
            // Whatever the last answer was, it was not the last word.
            Err(_) => {
                let last = status.map(|status| format!("; the last answer had status {status}"));
                let last = last.unwrap_or_default();
                let text = format!("nobody gave any within {patience:?}{last}");
                return Err(NoCredentials::Unavailable(text));
            }
        };
        Err(match NoCredentials::of(&error, status) {
            // Whoever has given them before is there.
            NoCredentials::Refused(text)
                if self.known().is_some()
                    && matches!(error, CredentialsError::CredentialsNotLoaded(_)) =>
            {
                NoCredentials::Unavailable(text)
            }
            failed => failed,
        })
    }
}

impl ProvideCredentials for Keeper {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let held = self.held().await.map_err(|error| match error {
                NoCredentials::Refused(text) => CredentialsError::invalid_configuration(text),
                NoCredentials::Unavailable(text) | NoCredentials::ClockSkew(text) => {
                    CredentialsError::provider_error(text)
                }
            })?;
            Ok(held.credentials.clone())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_credential_types::provider::Result as Provided;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Fails until it is told not to.
    #[derive(Debug, Default)]
    struct Failing(Arc<AtomicU32>);

    impl ProvideCredentials for Failing {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            self.0.fetch_add(1, Ordering::SeqCst);
            let failed = CredentialsError::provider_error("not now");
            future::ProvideCredentials::ready(Provided::Err(failed))
        }
    }

    #[tokio::test]
    async fn however_many_wait_they_wait_only_once() {
        let asked = Arc::new(AtomicU32::new(0));
        let provider = Failing(Arc::clone(&asked));
        let config = SdkConfig::builder()
            .credentials_provider(SharedCredentialsProvider::new(provider))
            .build();
        let answers = Noting::new(crate::aws::connector::connector());
        let patience = Duration::from_millis(600);
        let keeper = Keeper::of(&config, answers, patience).unwrap();
        let began = Instant::now();
        let waiting = (0..30).map(|_| {
            let keeper = keeper.clone();
            tokio::spawn(async move { keeper.ready().await })
        });
        for waits in waiting.collect::<Vec<_>>() {
            let failed = NoCredentials::Unavailable("not now".to_owned());
            assert_eq!(waits.await.unwrap(), Err(failed));
        }
        assert!(began.elapsed() >= patience);
        // At the beginning; after 1, 3, 7, 15, 25, 35, 45 and 55 sixtieths; at the end.
        assert!(asked.load(Ordering::SeqCst) <= 10);
    }
}
