//! Objects on disk, for a server that is to survive its own restart.
//!
//! One folder per bucket, one file per object: the length of a JSON header, the header, the
//! content. Files are written beside their place and renamed, so a killed server leaves whole
//! objects only. File names are digests of keys because keys are longer than file names may be.
//! There is no fsync: the machine's crash is not in scope. Parts of open uploads are not kept.

use crate::object::StoredObject;
use bytes::Bytes;
use s3s::crypto::{Checksum as _, Sha256};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The folder of one bucket.
#[derive(Clone, Debug)]
pub(crate) struct BucketFolder(PathBuf);

#[derive(Serialize, Deserialize)]
struct Header<Key, Object> {
    key: Key,
    object: Object,
}

const SUFFIX: &str = "object";

impl BucketFolder {
    pub(crate) fn create(root: &Path, bucket: &str) -> io::Result<Self> {
        let path = root.join(bucket);
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn write(&self, key: &str, object: &StoredObject) -> io::Result<()> {
        let header = serde_json::to_vec(&Header { key, object })?;
        let length = u32::try_from(header.len()).map_err(io::Error::other)?;
        let path = self.file(key);
        let unfinished = path.with_extension("unfinished");
        let mut file = File::create(&unfinished)?;
        file.write_all(&length.to_le_bytes())?;
        file.write_all(&header)?;
        file.write_all(&object.bytes)?;
        fs::rename(unfinished, path)
    }

    pub(crate) fn remove(&self, key: &str) -> io::Result<()> {
        match fs::remove_file(self.file(key)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    pub(crate) fn delete(&self) -> io::Result<()> {
        fs::remove_dir_all(&self.0)
    }

    fn file(&self, key: &str) -> PathBuf {
        self.0
            .join(hex::encode(Sha256::checksum(key.as_bytes())))
            .with_extension(SUFFIX)
    }

    /// When the folder was made, where the file system knows.
    pub(crate) fn created(&self) -> io::Result<Option<SystemTime>> {
        Ok(fs::metadata(&self.0)?.created().ok())
    }

    /// What lies in it, in no order.
    pub(crate) fn objects(&self) -> io::Result<Vec<(String, StoredObject)>> {
        let mut objects = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == SUFFIX)
            {
                objects.push(read(&path)?);
            }
        }
        Ok(objects)
    }
}

/// The folders of all buckets below `root`, by name. It is created if it is missing.
pub(crate) fn folders(root: &Path) -> io::Result<Vec<(String, BucketFolder)>> {
    fs::create_dir_all(root)?;
    let mut folders = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if let (true, Ok(name)) = (entry.file_type()?.is_dir(), entry.file_name().into_string()) {
            folders.push((name, BucketFolder(entry.path())));
        }
    }
    Ok(folders)
}

fn read(path: &Path) -> io::Result<(String, StoredObject)> {
    let mut file = File::open(path)?;
    let mut length = [0; 4];
    file.read_exact(&mut length)?;
    let mut header =
        vec![0; usize::try_from(u32::from_le_bytes(length)).map_err(io::Error::other)?];
    file.read_exact(&mut header)?;
    let Header { key, mut object }: Header<String, StoredObject> = serde_json::from_slice(&header)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    object.bytes = Bytes::from(bytes);
    Ok((key, object))
}
