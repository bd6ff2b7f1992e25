public import AWSTransport
import FoundationEssentials
import TrackingModel

/// Dead letters as messages of an SQS queue: a JSON object each, as in the lines of ``DeadLetterFiles``.
///
/// A queue can't be asked what it holds, so up to a hundred thousand are remembered here, then it begins anew: among those
/// this process sends none twice. What an earlier process sent and has not committed comes again, and what a call may or may not have brought
/// there; the field `identity` tells that it is the same letter.
public actor DeadLetterQueue: DeadLetterPlace {
    /// Calls under way at once.
    private static let maximumInFlight = 8
    private static let maximumRemembered = 100_000

    private let client: SQSClient
    private var known: Set<String> = []

    public init(_ client: SQSClient) { self.client = client }

    public func keep(_ letters: [DeadLetter]) async throws(StreamFailure) {
        var fresh: [String: DeadLetter] = [:]
        for letter in letters where !self.known.contains(letter.identity) { fresh[letter.identity] = letter }
        var waiting = fresh.makeIterator()
        let failure = await withTaskGroup(of: (String, StreamFailure?).self) { group in
            for _ in 0..<Self.maximumInFlight {
                guard let next = waiting.next() else { break }
                group.addTask { await self.send(next.key, next.value) }
            }
            var failure: StreamFailure?
            for await (identity, cause) in group {
                if let cause { failure = cause } else { self.remember(identity) }
                // After a failure nothing more is begun: all of it comes again.
                guard failure == nil, let next = waiting.next() else { continue }
                group.addTask { await self.send(next.key, next.value) }
            }
            return failure
        }
        if let failure { throw failure }
    }

    private func remember(_ identity: String) {
        if self.known.count >= Self.maximumRemembered { self.known.removeAll() }
        self.known.insert(identity)
    }

    private nonisolated func send(_ identity: String, _ letter: DeadLetter) async -> (String, StreamFailure?) {
        var limit = SQSClient.maximumMessageBytes
        var refused = Int.max
        while true {
            let message = Self.message(letter, atMost: limit)
            do throws(AWSCallFailure) {
                try await self.client.sendMessage(message, identity: identity)
                return (identity, nil)
            } catch {
                // A queue may take less than the service does. Where it can't be made shorter, that is not what is wrong.
                guard error.isOfParameters, message.count < refused else {
                    let cause = "dead letters in sqs:\(self.client.queueURL): \(error.sentence)"
                    return (identity, StreamFailure(cause))
                }
                refused = message.count
                limit = message.count / 2
            }
        }
    }

    /// - Returns: a letter that would be too long without the end of its record, and how many bytes of it `omitted` are.
    static func message(_ letter: DeadLetter, atMost limit: Int) -> [UInt8] {
        let identity = letter.identity
        let bytes = letter.record.bytes
        let whole = Self.json(letter, identity, omitted: 0)
        guard whole.count > limit else { return whole }
        var short = letter
        short.record.bytes = []
        let room = limit - Self.json(short, identity, omitted: bytes.count).count
        // Base64 makes four bytes of three.
        short.record.bytes = Array(bytes.prefix(max(0, room / 4 * 3)))
        return Self.json(short, identity, omitted: bytes.count - short.record.bytes.count)
    }

    private static func json(_ letter: DeadLetter, _ identity: String, omitted: Int) -> [UInt8] {
        var json = JSONText()
        json.beginObject()
        for (name, value) in letter.fields { json.field(name, value) }
        if omitted > 0 { json.field("omitted", Int64(omitted)) }
        json.field("identity", identity)
        json.endObject()
        return json.bytes
    }
}

extension AWSCallFailure {
    /// The only word that there is for a message that is too long.
    fileprivate var isOfParameters: Bool {
        if case .refused(let error) = self { error.code.hasPrefix("InvalidParameterValue") } else { false }
    }

    fileprivate var sentence: String {
        switch self {
        case .refused(let error): "\(error)"
        case .failed(let failure): "\(failure)"
        case .unreadable(let status): "an answer with status \(status) can't be read"
        }
    }
}
