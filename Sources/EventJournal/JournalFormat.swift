/// # The journal's files
///
/// ## What the form has to bear
///
/// * An accepted event is on disk: the unit of commit is a *frame*, written by one `pwritev` and made durable by one
///   `fdatasync`. A frame is there whole or not at all.
/// * A sync is cheapest where it changes no metadata, so a segment has its full size from the start and its blocks are
///   written before they are needed: new ones with zeros, used ones are *recycled* with their old bytes still in them.
///   Hence neither the end of the file nor a well-formed frame proves anything. A frame counts only when its checksum
///   holds, and the checksum starts from the segment's id and the journal's instance id. Bytes of an earlier use, and
///   bytes that a client smuggled into an event, never validate.
/// * Damage costs the frame that it touches and nothing else: the length is under the checksum, frames begin at multiples of
///   8, and after a bad one the next good one is searched. Sequence numbers have no gaps, so a gap *is* the exact loss.
/// * A failed sync is never repeated. Its frames are written again, with the same sequence numbers, to a new segment; what
///   a segment holds at or above the first sequence of a later segment is superseded and does not count.
/// * A segment of an earlier life is never appended to.
///
/// All numbers are little-endian. Sequences count events, from 1.
///
/// ## `DIR/<segment id, 20 digits>.seg`
///
///     0          header (64 bytes, then zeros up to 4096)
///     4096       frames, each at a multiple of 8, without holes between them
///     size-4096  the header once more, so that one damaged block does not take both
///
///     header  0  8  magic "ADTRKJNL"
///             8  2  format version, 1              ← the place of the version in every format to come
///            10  2  header size, 64
///            12  4  segment size in bytes
///            16  8  segment id, the number in the file's name
///            24  8  sequence of the first event
///            32 16  instance id, random, made once per journal directory
///            48  8  time of creation, milliseconds since the Unix epoch
///            56  4  zero
///            60  4  CRC-32C of bytes 0 to 59
///
///     frame   0  4  magic "ADJB"
///             4  4  CRC-32C of bytes 8 to the end of the last record, seeded with CRC-32C(instance id, segment id)
///             8  4  length of the records in bytes, at least 1
///            12  2  number of records, at least 1
///            14  2  flags: 1 answers did not wait for a sync; 2 *void*, a start put it over a torn one (below)
///            16  8  sequence of the first record
///            24  8  time of the commit, milliseconds since the Unix epoch
///            32  4  number of records of the same write in front of this frame
///            36  4  zero
///            40     records, then zeros up to the next multiple of 8 (outside the checksum)
///
///     record  0  4  length of the record in bytes
///             4  2  offset of the partition key in it
///             6  2  length of the partition key
///             8     the record
///
/// One write may hold several frames. A power cut may keep a later one and tear an earlier one; nobody was answered then,
/// so nothing is lost, yet there is a gap. The start that finds it, in the last write of a journal that was not closed, puts
/// a void frame in its place, so that no later start takes the gap for damage.
///
/// The number after version 1 is 2: they differ in two bits, so a single flipped bit is known as damage and not taken for
/// a newer format.
///
/// ## The other files
///
///     DIR/lock              held by an open-file-description lock while a process uses the journal
///     DIR/<number>.spare    a prepared or recycled segment; becomes a .seg when its header is written
///     DIR/<sink>.cursor0/1  64 bytes each, written in turn, the valid one with the higher generation counts
///     DIR/end               64 bytes, written by a clean stop: the sequence that comes next
///     DIR/quarantine/       damaged bytes, copied before their segment is deleted: <segment id>-<offset>.damaged
///                           and records that a sink refused for good: <number, 20 digits>.refused
///
///     note    0  8  magic "ADTRKCUR" or "ADTRKEND"
///             8  2  format version
///            16  8  generation
///            24  8  the first sequence that is not acknowledged; in `end` the sequence that comes next
///            32 16  instance id
///            48  8  zero; in `end` the id of the newest segment
///            56  4  events below the position that the sink had in memory only, as the bound had taken their segment; a
///                   start counts them as dropped, for nobody knows whether they were delivered
///            60  4  CRC-32C of bytes 0 to 59
///
/// A `.refused` file holds entries, each at a multiple of 8; one that is not whole is skipped.
///
///     entry   0  4  magic "ADJR"
///             4  4  CRC-32C of bytes 8 to the end of the record
///             8  4  length of the record
///            12  2  offset of the partition key in it
///            14  2  length of the partition key
///            16  2  length of the sink's name, at most 1024
///            18  2  length of the reason, at most 1024
///            20  4  zero
///            24  8  the record's sequence in the journal
///            32  8  when it was refused, milliseconds since the Unix epoch
///            40     the sink's name, the reason, the record, zeros up to the next multiple of 8
enum JournalFormat {
    static let version: UInt16 = 1
    static let segmentMagic: UInt64 = 0x4C4E_4A4B_5254_4441  // "ADTRKJNL"
    static let cursorMagic: UInt64 = 0x5255_434B_5254_4441  // "ADTRKCUR"
    static let endMagic: UInt64 = 0x444E_454B_5254_4441  // "ADTRKEND"
    static let frameMagic: UInt32 = 0x424A_4441  // "ADJB"

    /// Bytes of a header block, at both ends of a segment.
    static let block = 4096
    static let headerBytes = 64
    static let frameHeaderBytes = 40
    static let recordHeaderBytes = 8
    /// Flag of a frame: answers did not wait for a sync of it.
    static let unsyncedFlag: UInt16 = 1
    /// Flag of a frame: its sequences were never given to anyone.
    static let voidFlag: UInt16 = 2
    /// A frame's count is 16 bits wide.
    static let frameRecords = 65_535
    /// A record's key offset is 16 bits wide, so is the length.
    static let recordBytes = 65_535

    /// No event has a sequence from here on: what says so is damaged, whatever its checksum says.
    static let endOfSequences: UInt64 = 1 << 62

    static func padded(_ bytes: Int) -> Int { (bytes &+ 7) & ~7 }
}

/// Who a journal is: random, made with its first segment.
struct InstanceID: Hashable, Sendable {
    var high: UInt64
    var low: UInt64

    static func random() -> InstanceID {
        InstanceID(high: .random(in: 1...UInt64.max), low: .random(in: 1...UInt64.max))
    }
}

extension UnsafeRawPointer {
    @inline(__always)
    func little<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, as type: T.Type = T.self) -> T {
        T(littleEndian: self.loadUnaligned(fromByteOffset: offset, as: type))
    }
}

extension UnsafeMutableRawPointer {
    @inline(__always)
    func putLittle<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at offset: Int) {
        self.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
    }
}
