//! Conformance of sources: what a pass does with every kind, asked through the trait that passes use.
//!
//! A new kind gets a [`KindOfSource`](kind::KindOfSource) here and passes through the same cases.

mod directory;
mod kind;
mod lines;
mod passes;
mod stand;
mod wrapped;

use offsite::format::codec::Codec;
use offsite::pass::job::{ArchiveOptions, Method};

use self::kind::KindOfSource;

#[tokio::test(flavor = "multi_thread")]
async fn a_directory() {
    conform(&directory::Directory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_a_file() {
    conform(&lines::Lines::AsFiles).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_a_file_as_streams() {
    conform(&lines::Lines::AsStreams).await;
}

async fn conform(kind: &dyn KindOfSource) {
    for method in [Method::Files, archive()] {
        passes::everything_comes_back(kind, &method).await;
        passes::what_has_not_changed_is_not_sent_again(kind, &method).await;
        passes::what_was_interrupted_is_continued(kind, &method).await;
        passes::a_plan_says_what_a_pass_does(kind, &method).await;
        passes::an_empty_source_fails(kind, &method).await;
        passes::what_breaks_off_is_not_kept(kind, &method).await;
        passes::what_cannot_be_looked_at_is_kept_and_marked(kind, &method).await;
        passes::nothing_is_complete_of_which_everything_has_gone(kind, &method).await;
    }
}

fn archive() -> Method {
    Method::Archive(ArchiveOptions {
        codec: Codec::Zstd,
        level: 3,
        template: offsite::archive::template::KeyTemplate::of_archives(),
        incremental: true,
        full_every: None,
    })
}
