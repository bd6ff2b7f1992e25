import AWSTransport
import Glibc
public import StreamSource
import Synchronization
import TrackingModel

/// A DynamoDB table with one item per message id, and `TABLE-leases` beside it for positions and leases.
///
/// Each item is put by a `PutItem` of its own, with the condition that there is none, a bounded number at once. What was
/// throttled is put again after pauses, alone; what exists is stored already.
///
/// Of the calls that take many items (API reference, 2012-08-10) none keeps that condition at that price:
/// - `BatchWriteItem` takes no conditions: it overwrites.
/// - `TransactWriteItems` costs twice the capacity and is cancelled whole for one item that exists, which is what a
///   redelivery consists of. moto copies the whole table for each of its items: 100 of them take 9 s where 1,000 are
///   stored, as single ones 0.3 s.
/// - `BatchExecuteStatement` with `INSERT` says `DuplicateItem` of each statement, on AWS. Not so everywhere: moto 5.2
///   overwrites what exists, and knows no parameters there, without which values would have to be written as literals
///   of PartiQL. That nothing is ever overwritten must not hang on who serves the API.
public final class DynamoDBEventTable: EventTable {
    /// Calls under way at once.
    static let maximumInFlight = 16
    /// Attempts for what is throttled, before the batch as a whole waits.
    static let maximumAttempts = 5
    /// The API's bound on an item; kept here, since not every server of it does.
    static let maximumItemBytes = 400 * 1024

    private enum Outcome {
        case stored
        case exists
        case refused(Damage)
        /// Throttled, or nobody knows.
        case failed(StreamFailure)
    }

    private let calls: DynamoDBCalls
    private let table: String
    public let leases: DynamoDBLeases
    /// Ids that were stored by an attempt of which other items failed: they are no duplicates the next time.
    private let halfway = Mutex<Set<String>>([])

    public init(_ calls: DynamoDBCalls, table: String) {
        self.calls = calls
        self.table = table
        self.leases = DynamoDBLeases(calls, table: table + "-leases")
    }

    /// Both tables where they are not there, paid by request; for trying out: real ones are made by infrastructure.
    public func create() async throws(StreamFailure) {
        try await self.calls.createTable(self.table)
        try await self.calls.createTable(self.table + "-leases")
    }

    public func store(_ items: [EventRow], checkpoints: [Checkpoint]) async throws(StreamFailure) -> StoreResult {
        var open: [Int: EventRow] = [:]
        var ids: Set<String> = []
        for (place, row) in items.enumerated() where ids.insert(row.messageID).inserted { open[place] = row }
        var duplicates = items.count - open.count
        var stored: Set<String> = []
        var refused: [Int: Damage] = [:]
        var failure: StreamFailure?
        for attempt in 0..<Self.maximumAttempts where !open.isEmpty {
            if attempt > 0 { await Self.pause(attempt) }
            failure = nil
            for (place, outcome) in await self.put(open) {
                guard let id = open[place]?.messageID else { continue }
                switch outcome {
                case .stored: stored.insert(id)
                case .exists: if !self.wasHalfway(id) { duplicates += 1 } else { stored.insert(id) }
                case .refused(let damage): refused[place] = damage
                case .failed(let cause):
                    failure = cause
                    continue
                }
                open[place] = nil
            }
        }
        if let failure {
            self.halfway.withLock { $0.formUnion(stored) }
            throw failure
        }
        self.halfway.withLock { $0.removeAll() }
        if !refused.isEmpty { return .partly(stored.count, duplicates: duplicates, refused: refused) }
        try await self.leases.keep(checkpoints)
        return .stored(stored.count, duplicates: duplicates)
    }

    private func wasHalfway(_ id: String) -> Bool { self.halfway.withLock { $0.contains(id) } }

    private func put(_ rows: [Int: EventRow]) async -> [Int: Outcome] {
        let now = Self.now()
        var waiting = rows.makeIterator()
        var outcomes: [Int: Outcome] = [:]
        return await withTaskGroup(of: (Int, Outcome).self) { group in
            for _ in 0..<Self.maximumInFlight {
                guard let (place, row) = waiting.next() else { break }
                group.addTask { (place, await self.put(row, at: now)) }
            }
            for await (place, outcome) in group {
                outcomes[place] = outcome
                if let (place, row) = waiting.next() {
                    group.addTask { (place, await self.put(row, at: now)) }
                }
            }
            return outcomes
        }
    }

    private func put(_ row: EventRow, at now: Int64) async -> Outcome {
        var body = JSONText()
        body.beginObject()
        body.field("TableName", self.table)
        body.field("ConditionExpression", "attribute_not_exists(id)")
        body.key("Item")
        body.item(row.item(updatedAt: now))
        body.endObject()
        guard body.bytes.count <= Self.maximumItemBytes else {
            return .refused(Damage(.notStorable, "DynamoDB takes items of at most 400 KB."))
        }
        do throws(DynamoDBCalls.Fault) {
            _ = try await self.calls.ask("PutItem", body)
            return .stored
        } catch {
            switch error.code {
            case "ConditionalCheckFailedException": return .exists
            case "ValidationException", "ItemCollectionSizeLimitExceededException":
                return .refused(Damage(.notStorable, "DynamoDB refuses the item: \(error.description.prefix(200))"))
            default: return .failed(StreamFailure("dynamodb:\(self.table): \(error)"))
            }
        }
    }

    /// 50 ms, doubled with each attempt, shortened at random by up to a half.
    private static func pause(_ attempt: Int) async {
        let longest = 50 << min(attempt, 5)
        try? await Task.sleep(for: .milliseconds(Int.random(in: longest / 2...longest)))
    }

    private static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) &* 1000 &+ Int64(time.tv_nsec) / 1_000_000
    }
}

extension EventRow {
    /// The attributes of the system that adtrack replaces, and the new fields.
    func item(updatedAt now: Int64) -> DynamoDBCalls.Item {
        [
            ("id", .text(self.messageID)), ("message_id", .text(self.messageID)), ("program_id", .text(self.programID)),
            ("checksum", .text(self.checksum)), ("customer_id", .number(Int64(self.customerID))),
            ("user_agent", .text(self.userAgent)), ("program_name", .text(self.programName)),
            ("customer_name", .text(self.customerName)), ("is_valid", .boolean(self.isValid)),
            ("event_type", .text(self.eventType)), ("time", .number(self.time)), ("parameters", .map(self.parameters)),
            ("referrer", .text(self.referrer)), ("client_address", .text(self.clientAddress)),
            ("program_version", .number(self.programVersion)), ("updated_at", .text(String(now))),
        ]
    }
}
