import Glibc
import Testing

@testable import EventJournal

/// Does random things to a journal on the model's disk and knows what must come of them.
struct JournalModel {
    private(set) var files = ModelFileSystem()
    private var engine: JournalEngine
    private var reader: JournalReader
    private let configuration: JournalConfiguration
    private var random: Seeded
    private var nextNumber = 1
    /// Numbers whose batch was settled as durable.
    private var accepted: Set<Int> = []
    /// Accepted numbers that the disk had, whatever happens.
    private var durable: Set<Int> = []
    private var delivered: [Int] = []
    private var acknowledged: Set<Int> = []
    private var hadPowerCut = false
    /// What was done last, for who has to find out why.
    private var history: [String] = []

    init(_ configuration: JournalConfiguration, seed: UInt64) throws {
        self.configuration = configuration
        self.random = Seeded(seed)
        self.engine = try JournalEngine(configuration, sinks: ["one"], files: self.files, logger: quiet)
        self.reader = JournalReader(
            self.engine,
            sink: "one",
            index: 0,
            position: self.engine.books.sinks[0].nextSequence
        )
    }

    mutating func run(steps: Int) throws {
        for _ in 0..<steps { try self.step() }
        self.files.setFaults(.init())
        try self.restart(powerCut: false)
    }

    private mutating func step() throws {
        let choice = Int.random(in: 0..<100, using: &self.random)
        self.history.append("\(choice) \(self.engine.books.state) \(self.accepted.count)/\(self.durable.count)")
        switch choice {
        case 0..<50: self.append()
        case 50..<65: try self.deliver()
        case 65..<80: self.engine.keepHouse(saveCursors: Bool.random(using: &self.random))
        case 80..<85: self.syncBehind()
        case 85..<88: self.files.setFaults(.init(space: Int.random(in: 0...200_000, using: &self.random)))
        case 88..<90: self.files.setFaults(.init(failingSyncs: Int.random(in: 1...4, using: &self.random)))
        case 90..<92: self.files.setFaults(.init(failingWrites: Int.random(in: 1...4, using: &self.random)))
        case 92..<96: self.files.setFaults(.init())
        case 96..<97: try self.restart(powerCut: true)
        case 97..<98: try self.restart(powerCut: false)
        default: try self.dieInTheMiddle()
        }
        #expect(self.engine.books.balances)
    }

    private mutating func append() {
        var buffers: [LaneBuffer] = []
        var numbers: [[Int]] = []
        for _ in 0..<Int.random(in: 1...3, using: &self.random) {
            let buffer = LaneBuffer(maxCapacity: 1 << 20, maxFrameBytes: self.configuration.effectiveBatchBytes)
            var held: [Int] = []
            for _ in 0..<Int.random(in: 1...12, using: &self.random) {
                let bytes = record(self.nextNumber, bytes: Int.random(in: 20...900, using: &self.random))
                buffer.place(upTo: bytes.count)?.copyBytes(from: bytes)
                buffer.keep(length: bytes.count, key: 0..<0)
                held.append(self.nextNumber)
                self.nextNumber += 1
            }
            buffer.seal()
            buffers.append(buffer)
            numbers.append(held)
        }
        for (outcome, numbers) in zip(self.engine.commit(buffers), numbers) where outcome == .durable {
            self.accepted.formUnion(numbers)
            if self.configuration.durability == .fsync { self.durable.formUnion(numbers) }
        }
    }

    private mutating func syncBehind() {
        self.engine.syncBehind()
        if self.engine.refusal != .unavailable { self.durable = self.accepted }
    }

    private mutating func deliver() throws {
        let size = Int.random(in: 1...60, using: &self.random)
        while let slice = self.reader.read(maxRecords: size, maxBytes: 1 << 20) {
            var numbers: [Int] = []
            slice.visit { numbers.append(Self.number(of: $0.bytes)) }
            if let last = self.delivered.last { #expect(numbers[0] > last) }
            #expect(numbers == numbers.sorted())
            self.delivered += numbers
            if Bool.random(using: &self.random) { break }
        }
        guard Bool.random(using: &self.random) else { return }
        self.reader.acknowledge(through: self.reader.position)
        self.acknowledged.formUnion(self.delivered)
    }

    /// The process is gone after a few more changes, whatever it is doing; then the power, perhaps.
    private mutating func dieInTheMiddle() throws {
        let failing = Bool.random(using: &self.random) ? Int.random(in: 1...3, using: &self.random) : 0
        let left = Int.random(in: 0...12, using: &self.random)
        self.history.append("dies after \(left) changes, \(failing) syncs fail")
        self.files.setFaults(.init(failingSyncs: failing, changesLeft: left))
        switch Int.random(in: 0..<4, using: &self.random) {
        case 0: self.append()
        case 1: self.engine.syncBehind()
        case 2: self.engine.keepHouse(saveCursors: true)
        default:
            // A start that does not come to its end.
            _ = try? JournalEngine(self.configuration, sinks: ["one"], files: self.files, logger: quiet)
        }
        try self.restart(powerCut: Bool.random(using: &self.random))
    }

    private mutating func restart(powerCut: Bool) throws {
        // A sync that fails while a start secures what it found is made good. A disk that goes on failing is not in the
        // model: nothing is promised about that.
        self.files.setFaults(.init(failingSyncs: Int.random(in: 0...1, using: &self.random)))
        if powerCut {
            self.hadPowerCut = true
            self.files.cutPower(&self.random)
        }
        self.history.append(powerCut ? "power cut" : "start")
        self.engine = try JournalEngine(self.configuration, sinks: ["one"], files: self.files, logger: quiet)
        self.reader = JournalReader(
            self.engine,
            sink: "one",
            index: 0,
            position: self.engine.books.sinks[0].nextSequence
        )
        let books = self.engine.books
        #expect(books.balances)
        if self.configuration.durability == .fsync || !self.hadPowerCut { #expect(books.droppedAsCorrupt == 0) }
        // What is there is in order, was appended once, and holds all that was promised.
        var found: [Int] = []
        while let slice = self.reader.read(maxRecords: 1000, maxBytes: 1 << 20) {
            slice.visit { found.append(Self.number(of: $0.bytes)) }
        }
        #expect(zip(found, found.dropFirst()).allSatisfy { $0 < $1 })
        #expect(found.allSatisfy { $0 > 0 && $0 < self.nextNumber })
        let promised = (powerCut ? self.durable : self.accepted).subtracting(self.acknowledged)
        let missing = promised.subtracting(found)
        #expect(missing.isEmpty, "missing \(missing.sorted().prefix(20)) after \(self.history.suffix(12))")
        #expect(books.pending == UInt64(found.count))
        if powerCut { self.accepted = self.accepted.intersection(found).union(self.acknowledged) }
        // A start makes durable what it finds.
        self.durable = self.accepted
        self.reader.rewind()
        self.delivered = []
    }

    static func number(of bytes: UnsafeRawBufferPointer) -> Int {
        Int(String(decoding: bytes, as: UTF8.self).split(separator: "-").dropFirst().first ?? "") ?? 0
    }
}

@Suite struct JournalModelTests {
    /// `ADTRACK_SEEDS` says which of each kind: `300`, or `44-45`, the last one excluded.
    private static func seeds(_ usual: UInt64) -> Range<UInt64> {
        let wanted = getenv("ADTRACK_SEEDS").map { String(cString: $0) } ?? ""
        let ends = wanted.split(separator: "-").compactMap { UInt64($0) }
        guard let last = ends.last else { return 0..<usual }
        return min(ends.count > 1 ? ends[0] : 0, last)..<last
    }

    static func configuration(_ durability: JournalConfiguration.Durability) -> JournalConfiguration {
        var configuration = JournalConfiguration(directory: "journal")
        configuration.durability = durability
        configuration.segmentBytes = 64 << 10
        configuration.maxBytes = 512 << 10
        configuration.batchBytes = 4 << 10
        configuration.ringBytes = 300 << 10
        return configuration
    }

    private static func production(_ durability: JournalConfiguration.Durability) -> JournalConfiguration {
        var configuration = JournalConfiguration(directory: "journal")
        configuration.durability = durability
        return configuration
    }

    @Test(
        "whatever happens to disk and power, what was accepted is there, in order, and nothing else",
        arguments: seeds(60)
    )
    func synced(_ seed: UInt64) throws {
        var model = try JournalModel(Self.configuration(.fsync), seed: seed)
        try model.run(steps: 300)
    }

    @Test(
        "without waiting for syncs a killed process loses nothing, and a power cut only what no sync covered",
        arguments: seeds(60)
    )
    func written(_ seed: UInt64) throws {
        var model = try JournalModel(Self.configuration(.write), seed: 1000 + seed)
        try model.run(steps: 300)
    }

    @Test(
        "the same with the sizes of production",
        arguments: seeds(2),
        [JournalConfiguration.Durability.fsync, .write]
    )
    func production(_ seed: UInt64, _ durability: JournalConfiguration.Durability) throws {
        var model = try JournalModel(Self.production(durability), seed: 2000 + seed)
        try model.run(steps: 120)
    }
}
