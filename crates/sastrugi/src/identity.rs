//! A node's keys on disk: `staking/staker.crt`, `staking/staker.key` and `staking/signer.key`, in
//! AvalancheGo's formats. They are made when absent. Upstream: `staking/tls.go`, `config/config.go`.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rand::Rng as _;
use sastrugi_crypto::{bls, staking};
use sastrugi_types::NodeId;
use sastrugi_vm::Clock as _;

use crate::{
    environment::SystemClock,
    error::{StartError, at},
};

/// Mode of key files: only their owner reads them.
const KEY_MODE: u32 = 0o400;
/// Mode of folders.
const FOLDER_MODE: u32 = 0o750;

/// Both keys of a node.
#[derive(Clone, Debug)]
pub struct NodeIdentity {
    /// The certificate that names the node, and its key.
    pub staking: Arc<staking::Identity>,
    /// The BLS key.
    pub signer: Arc<bls::SecretKey>,
}

/// Where a key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file that is made if it is absent.
    FileOrNew(PathBuf),
    /// A file that must be there.
    File(PathBuf),
    /// The content itself.
    Content(Vec<u8>),
    /// A new key that is forgotten at exit.
    Ephemeral,
}

impl NodeIdentity {
    /// A new identity.
    pub fn generate() -> Result<Self, StartError> {
        let fault = |error: String| StartError::Other(format!("cannot make an identity: {error}"));
        let mut random = |bytes: &mut [u8]| rand::rng().fill_bytes(bytes);
        let staking = staking::Identity::generate(&mut random, SystemClock::start().wall())
            .map_err(|error| fault(error.to_string()))?;
        let mut seed = [0; 32];
        rand::rng().fill_bytes(&mut seed);
        let signer = bls::SecretKey::generate(&seed).map_err(|error| fault(error.to_string()))?;
        Ok(Self { staking: Arc::new(staking), signer: Arc::new(signer) })
    }

    /// The node.
    pub fn node_id(&self) -> NodeId {
        self.staking.node_id()
    }

    /// Loads the keys, making those that may be made. Nothing is written.
    ///
    /// # Errors
    /// One file of a pair without the other, unreadable files, a key that does not belong to its
    /// certificate.
    pub fn load(
        certificate: &KeySource,
        key: &KeySource,
        signer: &KeySource,
    ) -> Result<LoadedIdentity, StartError> {
        let fresh = Self::generate()?;
        let mut unsaved = Vec::new();
        let (staking, unsaved_pair) = load_staking(certificate, key, &fresh)?;
        if let Some((certificate, key)) = unsaved_pair {
            let key = key.map(|key| (key.to_path_buf(), staking.private_key_pem().into()));
            unsaved.extend(key);
            unsaved.push((certificate.to_path_buf(), staking.certificate_pem().into()));
        }
        let (signer, new_signer) = load_signer(signer, &fresh)?;
        if let Some(path) = new_signer {
            unsaved.push((path.to_path_buf(), signer.to_bytes().to_vec()));
        }
        Ok(LoadedIdentity { identity: Self { staking, signer }, unsaved })
    }

    /// Loads the identity of a folder in the usual places, making and writing what is absent.
    pub fn in_folder(data_dir: &Path) -> Result<Self, StartError> {
        let file = |name: &str| KeySource::FileOrNew(data_dir.join("staking").join(name));
        Self::load(&file("staker.crt"), &file("staker.key"), &file("signer.key"))?.save()
    }
}

/// An identity whose new keys are not written yet.
#[derive(Debug)]
pub struct LoadedIdentity {
    identity: NodeIdentity,
    unsaved: Vec<(PathBuf, Vec<u8>)>,
}

impl LoadedIdentity {
    /// The identity.
    pub const fn identity(&self) -> &NodeIdentity {
        &self.identity
    }

    /// Writes the new keys: all of them beside their places, and then in their places. So a process
    /// that ends in between leaves nothing, or what [`NodeIdentity::load`] goes on with.
    pub fn save(self) -> Result<NodeIdentity, StartError> {
        for (path, bytes) in &self.unsaved {
            let beside = beside(path);
            if fs::read(&beside).is_ok_and(|found| found == *bytes) {
                continue;
            }
            // What an interrupted write left behind.
            drop(fs::remove_file(&beside));
            write_new(&beside, bytes, KEY_MODE)?;
        }
        for (path, _) in &self.unsaved {
            fs::rename(beside(path), path).map_err(at(path))?;
        }
        Ok(self.identity)
    }
}

/// Where a certificate is to be written, and its key if that is not there yet.
type UnsavedPair<'a> = Option<(&'a Path, Option<&'a Path>)>;

fn load_staking<'a>(
    certificate: &'a KeySource,
    key: &'a KeySource,
    fresh: &NodeIdentity,
) -> Result<(Arc<staking::Identity>, UnsavedPair<'a>), StartError> {
    if *certificate == KeySource::Ephemeral || *key == KeySource::Ephemeral {
        return Ok((fresh.staking.clone(), None));
    }
    let place = name(certificate);
    match (read(certificate)?, read(key)?) {
        (Some(certificate), Some(key)) => staking::Identity::from_pem(&certificate, &key)
            .map(|identity| (Arc::new(identity), None))
            .map_err(|error| StartError::File {
                path: place,
                fault: format!("{error}; give the pair that belongs together"),
            }),
        (None, None) => match (certificate, key) {
            (KeySource::FileOrNew(certificate), KeySource::FileOrNew(key)) => {
                Ok((fresh.staking.clone(), Some((certificate.as_path(), Some(key.as_path())))))
            }
            _ => Err(StartError::File { path: place, fault: "there is no such file".into() }),
        },
        (Some(_), None) => Err(missing_half(&name(key), &place)),
        (None, Some(bytes)) => {
            let found = interrupted(certificate, &bytes);
            found.ok_or_else(|| missing_half(&place, &name(key)))
        }
    }
}

/// The certificate that a process wrote beside its place before it ended, if it is the one of this
/// key.
fn interrupted<'a>(
    certificate: &'a KeySource,
    key: &[u8],
) -> Option<(Arc<staking::Identity>, UnsavedPair<'a>)> {
    let KeySource::FileOrNew(path) = certificate else { return None };
    let written = fs::read(beside(path)).ok()?;
    let identity = staking::Identity::from_pem(&written, key).ok()?;
    Some((Arc::new(identity), Some((path.as_path(), None))))
}

fn missing_half(missing: &str, there: &str) -> StartError {
    StartError::File {
        path: missing.to_owned(),
        fault: format!("there is no such file, but {there} exists; give both or remove both"),
    }
}

fn load_signer<'a>(
    source: &'a KeySource,
    fresh: &NodeIdentity,
) -> Result<(Arc<bls::SecretKey>, Option<&'a Path>), StartError> {
    let fault = |fault: String| StartError::File { path: name(source), fault };
    match (source, read(source)?) {
        (_, Some(bytes)) => {
            let key = bls::SecretKey::from_bytes(&bytes)
                .map_err(|error| fault(format!("not a BLS secret key of 32 bytes: {error}")))?;
            Ok((Arc::new(key), None))
        }
        (KeySource::FileOrNew(path), None) => Ok((fresh.signer.clone(), Some(path))),
        (KeySource::Ephemeral, None) => Ok((fresh.signer.clone(), None)),
        (_, None) => Err(fault("there is no such file".into())),
    }
}

fn name(source: &KeySource) -> String {
    match source {
        KeySource::FileOrNew(path) | KeySource::File(path) => path.display().to_string(),
        KeySource::Content(_) => "the content given by flag".into(),
        KeySource::Ephemeral => "the ephemeral key".into(),
    }
}

fn read(source: &KeySource) -> Result<Option<Vec<u8>>, StartError> {
    match source {
        KeySource::Content(bytes) => Ok(Some(bytes.clone())),
        KeySource::Ephemeral => Ok(None),
        KeySource::FileOrNew(path) | KeySource::File(path) => match fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(path)(error)),
        },
    }
}

/// Makes a folder and those above it.
pub(crate) fn make_folder(path: &Path) -> Result<(), StartError> {
    fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path).map_err(at(path))
}

/// Writes a file that must not exist yet, and makes its folder.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StartError> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(at(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(path))
}

/// Where a file is written before it is put in its place as a whole.
fn beside(path: &Path) -> PathBuf {
    path.with_added_extension("new")
}

/// Replaces a file as a whole.
pub(crate) fn replace(path: &Path, text: &str, mode: u32) -> Result<(), StartError> {
    let beside = beside(path);
    // What an interrupted write left behind.
    drop(fs::remove_file(&beside));
    write_new(&beside, text.as_bytes(), mode)?;
    fs::rename(&beside, path).map_err(at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let made = NodeIdentity::in_folder(folder.path()).unwrap();
        let found = NodeIdentity::in_folder(folder.path()).unwrap();
        assert_eq!(made.node_id(), found.node_id());
        assert_eq!(made.signer.to_bytes(), found.signer.to_bytes());
    }

    #[test]
    fn an_identity_whose_writing_was_interrupted_is_finished_or_made_anew() {
        let made = tempfile::tempdir().unwrap();
        NodeIdentity::in_folder(made.path()).unwrap();
        let names = ["staker.key", "staker.crt", "signer.key"];
        let content = names.map(|name| fs::read(made.path().join("staking").join(name)).unwrap());
        // The first steps of a save: so many files beside their places, the last of them cut off
        // or not, and so many in their places.
        for (beside_count, placed, is_cut) in
            [(1, 0, true), (1, 0, false), (2, 0, true), (3, 0, true), (3, 0, false)]
                .into_iter()
                .chain([(3, 1, false), (3, 2, false), (3, 3, false)])
        {
            let folder = tempfile::tempdir().unwrap();
            let staking = folder.path().join("staking");
            for (number, (name, bytes)) in names.iter().zip(&content).enumerate() {
                let path = staking.join(name);
                if number < placed {
                    write_new(&path, bytes, KEY_MODE).unwrap();
                } else if number < beside_count {
                    let end = if is_cut && number + 1 == beside_count { 10 } else { bytes.len() };
                    write_new(&beside(&path), &bytes[..end], KEY_MODE).unwrap();
                }
            }
            let first = NodeIdentity::in_folder(folder.path()).unwrap();
            let again = NodeIdentity::in_folder(folder.path()).unwrap();
            assert_eq!(first.node_id(), again.node_id());
            assert_eq!(first.signer.to_bytes(), again.signer.to_bytes());
            assert_eq!(fs::read_dir(&staking).unwrap().count(), names.len());
            if placed > 0 {
                assert_eq!(fs::read(staking.join("staker.crt")).unwrap(), content[1]);
            }
        }
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_and_nothing_is_written() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        NodeIdentity::in_folder(one.path()).unwrap();
        NodeIdentity::in_folder(other.path()).unwrap();
        let key = one.path().join("staking/staker.key");
        fs::remove_file(&key).unwrap();
        let error = NodeIdentity::in_folder(one.path()).unwrap_err().to_string();
        assert!(error.contains("staker.key: there is no such file"), "{error}");
        fs::copy(other.path().join("staking/staker.key"), &key).unwrap();
        fs::remove_file(one.path().join("staking/signer.key")).unwrap();
        let error = NodeIdentity::in_folder(one.path()).unwrap_err().to_string();
        assert!(error.contains("does not belong to the certificate"), "{error}");
        assert!(!one.path().join("staking/signer.key").exists());
    }
}
