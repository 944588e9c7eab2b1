use sastrugi_crypto::{Certificate, Identity, Signer};

use super::*;

const CHAIN: Id = Id([4; 32]);

fn parent() -> Id {
    let mut parent = Id::EMPTY;
    parent.0[0] = 1;
    parent
}

fn template(epoch: Epoch) -> BlockTemplate<'static> {
    BlockTemplate { parent: parent(), timestamp_secs: 123, p_chain_height: 2, epoch, inner: &[3] }
}

fn identity(seed: u8) -> Identity {
    Identity::generate(&mut |bytes| bytes.fill(seed), WallTime::UNIX_EPOCH).unwrap()
}

fn hex(id: Id) -> String {
    const_hex::encode(id.0)
}

const EPOCH: Epoch = Epoch { p_chain_height: 2, number: 1, start_secs: 123 };

#[test]
fn known_ids() {
    let block = template(Epoch::NONE).unsigned().unwrap();
    assert_eq!(hex(block.id()), "d32c29bce3a849dd375a0226ddafbea52d7a5a5c4e428014d5ebeb0439ff4e46");
    let block = template(EPOCH).unsigned().unwrap();
    assert_eq!(hex(block.id()), "eca62cbfccafd4195224cf25abdff9869740254371a0f928707993e95acd0099");
    let option = PostForkOption::new(parent(), &[3]).unwrap();
    assert_eq!(
        hex(option.id()),
        "b85e67390c8a2aeb7e9bc57109a4b9b4a77518676521ff08420c0059e0cabfbf"
    );
}

#[test]
fn what_is_built_is_read_again() {
    let signer = identity(1);
    for epoch in [Epoch::NONE, EPOCH] {
        let template = template(epoch);
        let signed = template.signed(CHAIN, &signer).unwrap();
        assert_eq!(signed.proposer(), Some(signer.node_id()));
        for block in [signed, template.unsigned().unwrap()] {
            assert_eq!((block.inner(), block.timestamp_secs()), (Bytes::from_static(&[3]), 123));
            let read = OuterBlock::parse(block.bytes().clone(), CHAIN).unwrap();
            assert_eq!(read, OuterBlock::Block(block));
        }
    }
    let option = PostForkOption::new(parent(), b"inner").unwrap();
    assert_eq!(option.inner(), &b"inner"[..]);
    assert_eq!(OuterBlock::parse(option.bytes().clone(), CHAIN).unwrap(), option.into());
}

#[test]
fn inner_bytes_are_not_copied() {
    let block = template(EPOCH).signed(CHAIN, &identity(1)).unwrap();
    let read = OuterBlock::parse(block.bytes().clone(), CHAIN).unwrap();
    let whole = block.bytes().as_ptr_range();
    assert!(whole.contains(&read.inner().as_ptr()));
}

/// The position and length of a signed block's signature.
fn signature_of(block: &PostForkBlock, signer: &Identity) -> usize {
    let end = block.inner.end + if block.epoch.is_none() { 0 } else { 24 };
    assert_eq!(block.bytes.len() - end - 4, signature_length(block, end));
    assert!(block.bytes.windows(8).any(|part| part == &signer.certificate().der()[..8]));
    end
}

fn signature_length(block: &PostForkBlock, end: usize) -> usize {
    u32::from_be_bytes(block.bytes[end..end + 4].try_into().unwrap()) as usize
}

#[test]
fn a_changed_signature_keeps_the_id_and_is_refused() {
    let signer = identity(1);
    let block = template(EPOCH).signed(CHAIN, &signer).unwrap();
    let start = signature_of(&block, &signer) + 4;
    for position in start..block.bytes.len() {
        let mut bytes = block.bytes.to_vec();
        bytes[position] ^= 1;
        let bytes = Bytes::from(bytes);
        assert_eq!(OuterBlock::parse(bytes.clone(), CHAIN), Err(BlockError::InvalidSignature));
        let unverified = OuterBlock::parse_without_verification(bytes).unwrap();
        assert_eq!(unverified.id(), block.id());
    }
}

/// Shows the certificate of the first and signs with the key of the second.
#[derive(Debug)]
struct Thief(Identity, Identity);

impl Signer for Thief {
    fn certificate(&self) -> &Certificate {
        self.0.certificate()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        self.1.sign(message)
    }
}

#[test]
fn a_signature_is_good_for_its_chain_and_its_proposer_only() {
    let block = template(EPOCH).signed(CHAIN, &identity(1)).unwrap();
    let elsewhere = OuterBlock::parse(block.bytes().clone(), Id([5; 32]));
    assert_eq!(elsewhere, Err(BlockError::InvalidSignature));

    let stolen = template(EPOCH).signed(CHAIN, &Thief(identity(1), identity(2))).unwrap();
    let read = OuterBlock::parse(stolen.bytes().clone(), CHAIN);
    assert_eq!(read, Err(BlockError::InvalidSignature));
}

/// The block with another signature in place of its own.
fn with_signature(block: &PostForkBlock, end: usize, signature: &[u8]) -> Bytes {
    let mut bytes = block.bytes[..end].to_vec();
    bytes.extend_from_slice(&(signature.len() as u32).to_be_bytes());
    bytes.extend_from_slice(signature);
    bytes.into()
}

#[test]
fn signature_and_certificate_go_together() {
    let signer = identity(1);
    let signed = template(EPOCH).signed(CHAIN, &signer).unwrap();
    let bare = with_signature(&signed, signature_of(&signed, &signer), &[]);
    assert_eq!(OuterBlock::parse(bare, CHAIN), Err(BlockError::InvalidSignature));

    let unsigned = template(Epoch::NONE).unsigned().unwrap();
    let odd = with_signature(&unsigned, unsigned.bytes.len() - 4, &[7]);
    assert_eq!(OuterBlock::parse(odd.clone(), CHAIN), Err(BlockError::UnexpectedSignature));
    let read = OuterBlock::parse_without_verification(odd).unwrap();
    assert_eq!((read.id(), read.as_block().unwrap().proposer()), (unsigned.id(), None));
}

#[test]
fn the_form_with_an_epoch_needs_one() {
    let mut bytes = template(EPOCH).unsigned().unwrap().bytes().to_vec();
    let end = bytes.len() - 4;
    bytes[end - 24..end].fill(0);
    let bytes = Bytes::from(bytes);
    assert_eq!(OuterBlock::parse(bytes.clone(), CHAIN), Err(BlockError::MissingEpoch));
    let read = OuterBlock::parse_without_verification(bytes).unwrap();
    assert_eq!(read.as_block().unwrap().epoch(), Epoch::NONE);
}

#[test]
fn every_cut_and_every_addition_is_refused() {
    let option = PostForkOption::new(parent(), &[3]).unwrap();
    let block = template(EPOCH).signed(CHAIN, &identity(1)).unwrap();
    for bytes in [option.bytes, block.bytes] {
        for length in 0..bytes.len() {
            OuterBlock::parse_without_verification(bytes.slice(..length)).unwrap_err();
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        let error = OuterBlock::parse(longer.into(), CHAIN).unwrap_err();
        assert_eq!(error, BlockError::Codec(CodecError::TrailingBytes));
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, kind in 0u8..4) {
        let mut framed = vec![0, 0, 0, 0, 0, kind];
        framed.extend_from_slice(&bytes);
        for bytes in [bytes, framed] {
            let _ = OuterBlock::parse(bytes.into(), CHAIN);
        }
    }
}
