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
        switch Int.random(in: 0..<100, using: &self.random) {
        case 0..<50: self.append()
        case 50..<65: try self.deliver()
        case 65..<80: self.engine.keepHouse(saveCursors: Bool.random(using: &self.random))
        case 80..<85: self.syncBehind()
        case 85..<88: self.files.setFaults(.init(space: Int.random(in: 0...200_000, using: &self.random)))
        case 88..<90: self.files.setFaults(.init(failingSyncs: Int.random(in: 1...4, using: &self.random)))
        case 90..<92: self.files.setFaults(.init(failingWrites: Int.random(in: 1...4, using: &self.random)))
        case 92..<96: self.files.setFaults(.init())
        case 96..<98: try self.restart(powerCut: true)
        default: try self.restart(powerCut: false)
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

    private mutating func restart(powerCut: Bool) throws {
        // A disk that fails while a start secures what it found is not in the model: nothing is promised about that.
        self.files.setFaults(.init())
        if powerCut {
            self.hadPowerCut = true
            self.files.cutPower(&self.random)
        }
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
        #expect(missing.isEmpty, "missing \(missing.sorted().prefix(20))")
        #expect(books.pending == UInt64(found.count))
        if powerCut { self.accepted = self.accepted.intersection(found).union(self.acknowledged) }
        self.durable = self.durable.intersection(self.accepted)
        self.reader.rewind()
        self.delivered = []
    }

    static func number(of bytes: UnsafeRawBufferPointer) -> Int {
        Int(String(decoding: bytes, as: UTF8.self).split(separator: "-").dropFirst().first ?? "") ?? 0
    }
}

@Suite struct JournalModelTests {
    static func configuration(_ durability: JournalConfiguration.Durability) -> JournalConfiguration {
        var configuration = JournalConfiguration(directory: "journal")
        configuration.durability = durability
        configuration.segmentBytes = 64 << 10
        configuration.maxBytes = 512 << 10
        configuration.batchBytes = 4 << 10
        configuration.ringBytes = 300 << 10
        return configuration
    }

    @Test(
        "whatever happens to disk and power, what was accepted is there, in order, and nothing else",
        arguments: 0..<60
    )
    func synced(_ seed: UInt64) throws {
        var model = try JournalModel(Self.configuration(.fsync), seed: seed)
        try model.run(steps: 300)
    }

    @Test(
        "without waiting for syncs a killed process loses nothing, and a power cut only what no sync covered",
        arguments: 0..<30
    )
    func written(_ seed: UInt64) throws {
        var model = try JournalModel(Self.configuration(.write), seed: 1000 + seed)
        try model.run(steps: 300)
    }

    @Test("the same with the sizes of production", arguments: 0..<2)
    func production(_ seed: UInt64) throws {
        var model = try JournalModel(JournalConfiguration(directory: "journal"), seed: 2000 + seed)
        try model.run(steps: 120)
    }
}
