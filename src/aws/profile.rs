//! A profile of the AWS configuration files that was named, as by `aws --profile`: it says who asks, whatever
//! credentials the environment has.

use aws_config::Region;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

/// The region that a profile names.
pub(crate) async fn region(profile: &str) -> Option<Region> {
    let provider = ProfileFileRegionProvider::builder().profile_name(profile);
    ProvideRegion::region(&provider.build()).await
}

/// The credentials of a profile, which may be those of a role.
#[derive(Debug)]
pub(crate) struct ProfileCredentials {
    profile: String,
    provider: ProfileFileCredentialsProvider,
}

impl ProfileCredentials {
    /// Looks at nothing yet. `region` is where STS is asked.
    pub(crate) fn new(profile: &str, region: Option<Region>, client: SharedHttpClient) -> Self {
        // Whoever keeps the credentials asks again.
        let config = ProviderConfig::without_region()
            .with_region(region)
            .with_http_client(client)
            .with_retry_config(RetryConfig::disabled());
        let provider = ProfileFileCredentialsProvider::builder().configure(&config);
        Self {
            profile: profile.to_owned(),
            provider: provider.profile_name(profile).build(),
        }
    }
}

impl ProvideCredentials for ProfileCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let provided = self.provider.provide_credentials().await;
            provided.map_err(|error| match error {
                // Which says nothing of the profile.
                CredentialsError::CredentialsNotLoaded(_) => CredentialsError::not_loaded(format!(
                    "the profile `{}` does not exist or has none",
                    self.profile
                )),
                other => other,
            })
        })
    }
}
