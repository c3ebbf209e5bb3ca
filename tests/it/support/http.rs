//! A server for the few requests that something other than the store answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

/// What was asked: the path, what the AWS protocols call the target, and the document sent.
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) target: String,
    pub(crate) body: String,
}

/// Answers every request on loopback with a status and a JSON document until the test ends; the URL.
pub(crate) fn serve(answer: impl Fn(&Asked) -> (u16, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut asked = Asked {
                path: String::new(),
                target: String::new(),
                body: String::new(),
            };
            let mut length = 0;
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                let lower = line.to_ascii_lowercase();
                if asked.path.is_empty() {
                    asked.path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                } else if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                } else if lower.starts_with("x-amz-target:") {
                    asked.target = line[13..].trim().to_owned();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            asked.body = String::from_utf8_lossy(&body).into_owned();
            let (status, json) = answer(&asked);
            let _ = write!(
                stream,
                "HTTP/1.1 {status} Answer\r\nContent-Type: application/x-amz-json-1.1\r\n\
                 X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{json}",
                json.len()
            );
        }
    });
    url
}
