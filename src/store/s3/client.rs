//! Putting the SDK's client together.

use std::time::Duration;

use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::region::{ProvideRegion, RegionProviderChain};
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::endpoint::Params;
use aws_sdk_s3::config::{
    RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig,
    retry::RetryConfig, retry::RetryPartition, retry::TokenBucket, timeout::TimeoutConfig,
};

use url::{Host, Url};

use super::direct::Direct;
use super::wire::Wire;
use crate::aws::connector::Noting;
use crate::aws::credentials::Keeper;
use crate::aws::profile::{self, ProfileCredentials};
use crate::store::StoreOptions;

/// Attempts at a request before it counts as failed; with the backoff below, some 25 seconds.
const MAX_ATTEMPTS: u32 = 8;
const INITIAL_BACKOFF: Duration = Duration::from_millis(250);

/// The SDK's budget for retries is shared by all requests of the process; its default of 500 tokens
/// is spent by a hundred files that meet one short outage together.
const RETRY_TOKENS: usize = 100_000;

/// A transfer that stands still this long is given up and tried again.
const STALL_GRACE: Duration = Duration::from_secs(20);

/// What the store talks through.
pub(super) struct Clients {
    pub(super) wire: Wire,
    pub(super) s3: Client,
    pub(super) direct: Option<Direct>,
    /// Credentials, unless nobody is configured to give any.
    pub(super) credentials: Option<Keeper>,
    /// Where requests go, for people.
    pub(super) address: String,
    /// Payloads are protected on the way by something else than their signature.
    pub(super) protected: bool,
}

/// Builds the clients. Credentials are looked for at the first request.
pub(super) async fn connect(bucket: &str, options: &StoreOptions) -> Clients {
    let wire = Wire::new(options.bandwidth_bytes_per_second, options.request_timeout);
    let answers = wire.to_credentials();
    let config = load(options, &answers).await;
    let credentials = Keeper::of(&config, answers, options.credentials_patience());
    let endpoint_url = options.endpoint_url.clone();
    let endpoint_url = endpoint_url.or_else(|| config.endpoint_url().map(str::to_owned));
    let path_style = options.force_path_style.unwrap_or(endpoint_url.is_some());
    let region = config.region().cloned();
    let mut s3 = aws_sdk_s3::config::Builder::from(&config);
    s3.set_region(region.clone())
        .set_endpoint_url(endpoint_url.clone())
        .set_http_client(Some(wire.http_client()));
    if let Some(credentials) = &credentials {
        credentials.give_to(|provider, cache| {
            s3.set_credentials_provider(Some(provider));
            s3.set_identity_cache(cache);
        });
    }
    let s3 = s3
        .force_path_style(path_style)
        // Each body gets the checksum this program chose for it, and each body that is read is
        // compared with the manifest.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(MAX_ATTEMPTS)
                .with_initial_backoff(INITIAL_BACKOFF),
        )
        .retry_partition(
            RetryPartition::custom("offsite")
                .token_bucket(TokenBucket::builder().capacity(RETRY_TOKENS).build())
                .build(),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .operation_attempt_timeout(options.timeout(0))
                .build(),
        )
        .stalled_stream_protection(match options.bandwidth_bytes_per_second {
            // A transfer that is held back by the limit is not stalled. Uploads have the timeout of
            // their request, downloads that of the wire.
            Some(_) => StalledStreamProtectionConfig::disabled(),
            None => StalledStreamProtectionConfig::enabled()
                .grace_period(STALL_GRACE)
                .build(),
        });

    let direct = match (&region, &credentials) {
        (Some(region), Some(credentials)) => {
            let mut params = Params::builder()
                .bucket(bucket)
                .region(region.as_ref())
                .force_path_style(path_style)
                .use_fips(config.use_fips().unwrap_or_default())
                .use_dual_stack(config.use_dual_stack().unwrap_or_default());
            if let Some(url) = &endpoint_url {
                params = params.endpoint(url);
            }
            match params.build() {
                Ok(params) => {
                    let credentials = credentials.clone();
                    Direct::new(wire.clone(), credentials, params, region.as_ref()).await
                }
                Err(_) => None,
            }
        }
        _ => None,
    };
    Clients {
        s3: Client::from_conf(s3.build()),
        direct,
        credentials,
        address: endpoint_url
            .as_deref()
            .map_or_else(|| "AWS".to_owned(), authority),
        protected: endpoint_url.as_deref().is_none_or(is_protected),
        wire,
    }
}

async fn load(options: &StoreOptions, answers: &Noting) -> SdkConfig {
    // STS is asked again by whoever keeps the credentials.
    let loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(answers.http_client())
        .retry_config(RetryConfig::disabled());
    let profile = options.profile.as_deref();
    let region = match (&options.region, profile) {
        (Some(region), _) => Some(Region::new(region.clone())),
        (None, Some(profile)) => profile::region(profile).await,
        (None, None) => None,
    };
    let loader = match (&region, &options.endpoint_url) {
        (Some(region), _) => loader.region(region.clone()),
        // The instance metadata service, which comes last by default, knows nothing of stores that
        // are not AWS, and where there is none it is waited for. Such stores rarely care for the
        // region, but the signature needs one.
        (None, Some(_)) => loader.region(
            RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
                .or_else(ProfileFileRegionProvider::new())
                .or_else("us-east-1"),
        ),
        (None, None) => loader,
    };
    let loader = match (&options.credentials, profile) {
        (Some(credentials), _) => loader.credentials_provider(credentials.clone()),
        (None, Some(profile)) => {
            let by_environment = EnvironmentVariableRegionProvider::new().region().await;
            let region = region.or(by_environment);
            let client = answers.http_client();
            let credentials = ProfileCredentials::new(profile, region, client);
            loader
                .profile_name(profile)
                .credentials_provider(credentials)
        }
        (None, None) => loader,
    };
    loader.load().await
}

/// Whether nobody between here and the store can change a payload: TLS, or the same machine.
fn is_protected(endpoint_url: &str) -> bool {
    let Ok(url) = endpoint_url.parse::<Url>() else {
        return false;
    };
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || is_here
}

/// Host and port of an endpoint, without what may be secret in it.
fn authority(endpoint_url: &str) -> String {
    let Ok(url) = endpoint_url.parse::<Url>() else {
        return String::new();
    };
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_go_unsigned_only_where_the_way_is_protected() {
        for (url, protected) in [
            ("https://minio.example.com", true),
            ("http://127.0.0.1:9000", true),
            ("http://[::1]:9000", true),
            ("http://localhost:9000", true),
            ("http://minio.storage.svc:9000", false),
            ("http://10.0.0.7:9000", false),
        ] {
            assert_eq!(is_protected(url), protected, "{url}");
        }
    }
}
