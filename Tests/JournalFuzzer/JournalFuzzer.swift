import CChecksum
import Glibc
import Logging

@testable import EventJournal

// What a start makes of any bytes in the place of a segment, driven by libFuzzer (https://llvm.org/docs/LibFuzzer.html).
// Tests/fuzz builds it, since the reader itself has to be instrumented, and runs it.

private let instance = InstanceID(high: 0x1234, low: 0x5678)
private let segmentID: UInt64 = 7
private let segmentBytes = 24 << 10

/// Starts twice on the bytes and reads everything that there is.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: bytes, count: count))
    let files = ModelFileSystem()
    put(input, into: files)
    let first = start(files)
    let second = start(files)
    // What is known is known for good: a start changes neither what is there nor what is lost. Of a segment without any
    // event nothing stays but the one that the journal begins then.
    guard first == second || first.pending == 0 && second.pending == 0 else {
        fatalError("a second start sees \(second), the first saw \(first)")
    }
    return 0
}

private struct Finding: Equatable {
    var next: UInt64
    var lost: UInt64
    var pending: UInt64
    var records: Int
}

private func start(_ files: ModelFileSystem) -> Finding {
    var configuration = JournalConfiguration(directory: "journal")
    configuration.segmentBytes = 64 << 10
    let quiet = Logger(label: "fuzz", factory: { _ in SwiftLogNoOpLogHandler() })
    var recovery = JournalRecovery(files, configuration, logger: quiet)
    guard let found = try? recovery.run(sinks: ["one"]) else { fatalError("a start failed because of content") }
    let ledger = JournalLedger(
        maxBytes: configuration.maxBytes,
        next: found.next,
        sinks: found.sinks,
        segments: found.segments,
        lost: found.lost,
        voids: found.voids
    )
    let books = ledger.books
    guard books.appended == books.acknowledged + books.pending + books.dropped else {
        fatalError("the books do not balance: \(books)")
    }
    let lost = books.droppedAsCorrupt
    return Finding(next: found.next, lost: lost, pending: books.pending, records: read(files, found.segments))
}

/// Walks every record and touches every byte of it.
private func read(_ files: ModelFileSystem, _ segments: [JournalLedger.Segment]) -> Int {
    var count = 0
    var sum: UInt8 = 0
    for segment in segments {
        guard let file = try? files.open(JournalPaths(directory: "journal").segment(segment.id), create: false) else {
            fatalError("a segment in the books is not there")
        }
        let seed = SegmentHeader.seed(id: segment.id, instance: segment.instance)
        let scanner = SegmentScanner(file, seed: seed, limit: segment.used)
        while let frame = scanner.next(), let base = frame.records.baseAddress {
            var walk = RecordWalk(frame.records)
            while let record = walk.next() {
                let record = JournalRecord(at: base + record.offset, sequence: 1)
                for byte in record.bytes { sum ^= byte }
                for byte in record.key { sum ^= byte }
                count += 1
            }
        }
    }
    return count + Int(sum & 0)
}

private func put(_ bytes: [UInt8], into files: ModelFileSystem) {
    let path = JournalPaths(directory: "journal").segment(segmentID)
    guard let file = try? files.open(path, create: true) else { fatalError("the model has no file") }
    bytes.withUnsafeBytes { _ = try? file.write([$0], at: 0) }
    _ = try? file.sync()
    _ = try? files.syncDirectory("journal")
}

// MARK: Inputs

@_silgen_name("LLVMFuzzerMutate")
private func mutate(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ most: Int) -> Int

/// Random changes alone would never get past a checksum: most changed inputs are sealed again.
@_cdecl("LLVMFuzzerCustomMutator")
public func customMutator(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ most: Int, _ seed: UInt32) -> Int {
    let count = mutate(bytes, count, most)
    if seed % 4 != 0 { seal(UnsafeMutableRawBufferPointer(start: bytes, count: count)) }
    return count
}

private func seal(_ bytes: UnsafeMutableRawBufferPointer) {
    guard let base = bytes.baseAddress, bytes.count >= JournalFormat.headerBytes else { return }
    base.putLittle(crc32c(0, base, 60), at: 60)
    let id: UInt64 = UnsafeRawPointer(base).little(16)
    let owner = InstanceID(high: UnsafeRawPointer(base).little(32), low: UnsafeRawPointer(base).little(40))
    let frameSeed = SegmentHeader.seed(id: id, instance: owner)
    for offset in stride(from: 0, to: bytes.count - JournalFormat.frameHeaderBytes, by: 8) {
        let place = base + offset
        guard let header = FrameHeader.peek(place, room: bytes.count - offset) else { continue }
        place.putLittle(crc32c(frameSeed, place + 8, JournalFormat.frameHeaderBytes - 8 + header.length), at: 4)
    }
}

/// Writes the corpus to begin with to the directory that `FUZZ_SEEDS` names.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(_ count: UnsafeMutableRawPointer?, _ arguments: UnsafeMutableRawPointer?) -> CInt {
    guard let directory = getenv("FUZZ_SEEDS").map({ String(cString: $0) }) else { return 0 }
    for number in 0..<6 {
        guard let file = fopen("\(directory)/segment-\(number)", "w") else { fatalError("no seed can be written") }
        let segment = makeSegment(frames: number * 3, records: 1 + number)
        fwrite(segment, 1, segment.count, file)
        fclose(file)
    }
    return 0
}

private func makeSegment(frames: Int, records: Int) -> [UInt8] {
    var segment = [UInt8](repeating: 0, count: segmentBytes)
    let header = SegmentHeader(
        id: segmentID,
        firstSequence: 1,
        segmentBytes: segmentBytes,
        instance: instance,
        createdMilliseconds: 1
    )
    segment.withUnsafeMutableBytes { bytes in
        guard let base = bytes.baseAddress else { return }
        header.write(to: base)
        header.write(to: base + segmentBytes - JournalFormat.block)
        var place = base + JournalFormat.block
        for index in 0..<frames {
            var frame = FrameHeader(
                length: 0,
                count: records,
                firstSequence: UInt64(1 + index * records),
                milliseconds: 1
            )
            // Some of one write, some not synced.
            frame.before = index % 3 * records
            frame.flags = index % 4 == 3 ? JournalFormat.unsyncedFlag : 0
            for record in 0..<records {
                let bytes = place + JournalFormat.frameHeaderBytes + frame.length
                let length = 10 + record * 7
                bytes.putLittle(UInt32(length), at: 0)
                bytes.putLittle(UInt16(2), at: 4)
                bytes.putLittle(UInt16(6), at: 6)
                memset(bytes + JournalFormat.recordHeaderBytes, 0x61, length)
                frame.length += JournalFormat.recordHeaderBytes + length
            }
            frame.write(to: place, seed: header.seed)
            place += frame.stride
        }
    }
    return segment
}
