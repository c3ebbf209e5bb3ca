//! A store that is reached by a profile of the AWS configuration files.

use std::process::Command;

use offsite::store::open::open;
use offsite::store::{Listing, StoreOptions, StoreResult};

use crate::support::{BUCKET, World};

/// Whoever asks here is named in the profile alone.
fn profiles(world: &World) {
    let credentials = world.server.credentials();
    let (key, secret) = (&credentials.access_key, &credentials.secret_key);
    let text = format!(
        "[default]\nregion = us-west-1\naws_access_key_id = nobody\naws_secret_access_key = nothing\n\n\
         [profile elsewhere]\nregion = eu-west-1\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n\
         endpoint_url = {}\n\n\
         [profile silent]\noutput = json\n",
        world.server.endpoint()
    );
    std::fs::write(world.path("profiles"), text).unwrap();
}

/// What a process of this program says that lists the store by a profile.
fn list(world: &World, profile: &str, region: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "profile::asked_in_a_process_of_its_own",
            "--ignored",
            "--nocapture",
        ])
        .env_clear()
        .env("AWS_CONFIG_FILE", world.path("profiles"))
        // Which would be taken by who names no profile.
        .env("AWS_ACCESS_KEY_ID", "somebody")
        .env("AWS_SECRET_ACCESS_KEY", "else")
        .env("AWS_REGION", "ap-south-1")
        .env("PROFILE", profile)
        .env("REGION", region)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
#[ignore = "it takes the environment that `list` gives it"]
async fn asked_in_a_process_of_its_own() {
    let variable = |name: &str| Some(std::env::var(name).unwrap()).filter(|it| !it.is_empty());
    let options = StoreOptions {
        profile: variable("PROFILE"),
        region: variable("REGION"),
        request_timeout: std::time::Duration::from_secs(5),
        concurrency: 1,
        ..StoreOptions::default()
    };
    let url = format!("s3://{BUCKET}/").parse().unwrap();
    let store = open(&url, &options).await;
    let listing = Listing {
        prefix: "",
        start_after: None,
        ..Listing::default()
    };
    let page: StoreResult<_> = store.list(listing).next().await;
    match page {
        Ok(_) => println!("listed"),
        Err(error) => println!("failed: {error}"),
    }
}

/// Who has asked the server last, in which region.
fn asker(world: &World) -> String {
    let requests = world.server.requests();
    let header = requests.last().unwrap().header("authorization").unwrap();
    let scope = header.split("Credential=").nth(1).unwrap();
    scope.split("/s3/").next().unwrap().to_owned()
}

#[test]
fn a_profile_says_who_asks_and_where_whatever_the_environment_says() {
    let world = World::new();
    profiles(&world);
    let key = &world.server.credentials().access_key;
    for (region, expected) in [("", "eu-west-1"), ("us-east-2", "us-east-2")] {
        let said = list(&world, "elsewhere", region);
        assert!(said.contains("listed"), "{said}");
        let asker = asker(&world);
        assert!(asker.starts_with(&format!("{key}/")), "{asker}");
        assert!(asker.ends_with(&format!("/{expected}")), "{asker}");
    }
}

#[test]
fn a_profile_that_is_missing_or_names_nobody_is_no_leave_to_ask_as_somebody_else() {
    let world = World::new();
    profiles(&world);
    for profile in ["missing", "silent"] {
        let said = list(&world, profile, "");
        assert!(said.contains("failed: "), "{said}");
        assert!(said.contains(profile), "{said}");
    }
    assert!(world.server.requests().is_empty());
}
