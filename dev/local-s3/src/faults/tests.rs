//! The rules of faults, without a server.

use super::*;
use http::HeaderMap;

fn request(operation: Operation, key: &str) -> RequestInfo {
    RequestInfo {
        index: 0,
        operation,
        method: String::new(),
        bucket: None,
        key: Some(key.to_owned()),
        query: String::new(),
        range: None,
        headers: HeaderMap::new(),
    }
}

fn strike(faults: &Faults, request: &RequestInfo) -> Option<Fault> {
    faults.strike(request).0
}

#[test]
fn a_fault_skips_then_fires_then_is_spent() {
    let faults = Faults::default();
    let handle = faults.add(Fault::on(Operation::PutObject).skip(1).times(2).hang());
    let put = request(Operation::PutObject, "k");
    let struck: Vec<bool> = (0..5).map(|_| strike(&faults, &put).is_some()).collect();
    assert_eq!(struck, [false, true, true, false, false]);
    assert_eq!(handle.fired(), 2);
}

#[test]
fn a_fault_hits_only_its_operation_and_keys() {
    let faults = Faults::default();
    faults.add(
        Fault::on(Operation::PutObject)
            .key_contains("files/")
            .always()
            .hang(),
    );
    assert!(strike(&faults, &request(Operation::GetObject, "files/a")).is_none());
    assert!(strike(&faults, &request(Operation::PutObject, "lock")).is_none());
    assert!(strike(&faults, &request(Operation::PutObject, "x/files/a")).is_some());
}

#[test]
fn a_fault_hits_only_requests_with_its_header() {
    let faults = Faults::default();
    let fault = Fault::on_any().always();
    faults.add(fault.if_header("x-amz-security-token", "old").hang());
    let mut put = request(Operation::PutObject, "k");
    assert!(strike(&faults, &put).is_none());
    for (token, is_struck) in [("old", true), ("new", false)] {
        let token = token.parse().unwrap();
        put.headers.insert("x-amz-security-token", token);
        assert_eq!(strike(&faults, &put).is_some(), is_struck);
    }
}

#[test]
fn of_two_due_faults_the_first_is_applied_and_the_other_waits() {
    let faults = Faults::default();
    faults.add(Fault::on_any().drop_before());
    faults.add(Fault::on_any().hang());
    let put = request(Operation::PutObject, "k");
    assert_eq!(strike(&faults, &put).unwrap().effect, Effect::DropBefore);
    assert_eq!(strike(&faults, &put).unwrap().effect, Effect::Hang);
    assert!(strike(&faults, &put).is_none());
}

#[test]
fn a_fault_above_a_concurrency_lets_as_many_pass_at_once() {
    let faults = Faults::default();
    let handle = faults.add(Fault::on(Operation::CopyObject).above(2).always().hang());
    let copy = request(Operation::CopyObject, "k");
    let one = faults.strike(&copy);
    let two = faults.strike(&copy);
    assert!(one.0.is_none() && two.0.is_none());
    assert!(faults.strike(&copy).0.is_some());
    assert!(strike(&faults, &request(Operation::GetObject, "k")).is_none());
    drop(one);
    assert!(strike(&faults, &copy).is_none());
    assert_eq!(handle.fired(), 1);
}
