import AWSTransport
public import Logging
import NIOConcurrencyHelpers
public import NIOCore

/// A stream of Amazon Kinesis Data Streams: `PutRecords` of protobuf bytes, the message id as partition key
/// (Kinesis API reference, PutRecords).
///
/// What AWS answers decides:
///
/// * for a record: a sequence number, delivered; `ProvisionedThroughputExceededException`, throttled, with its shard's
///   lane; any other code, failed, and sent again;
/// * for a call: throttling holds for all of its records; a failure of the service, a cut or an answer that does not match
///   the request say nothing; missing rights, credentials or stream wait for a person; a call refused for what it holds is
///   halved by the delivery until the record to blame is alone.
public struct KinesisStream: RecordStream {
    public struct Target: Sendable, Equatable {
        /// Its name or its ARN.
        public var stream: String
        /// nil takes the environment's or the profile's.
        public var region: String?
        /// nil takes `AWS_ENDPOINT_URL_KINESIS`, `AWS_ENDPOINT_URL`, or AWS' own.
        public var endpoint: String?
        /// Whether several records travel as one, in the form of the Kinesis Producer Library.
        public var isAggregated = false

        public init(stream: String, region: String? = nil, endpoint: String? = nil, isAggregated: Bool = false) {
            self.stream = stream
            self.region = region
            self.endpoint = endpoint
            self.isAggregated = isAggregated
        }
    }

    public let limits: PutLimits
    private let target: Target
    private let transport: Transport
    private let client: KinesisClient
    private let shards: KinesisShards
    /// Something was taken in this life: so a refusal is the record's fault, not the configuration's.
    private let hasDelivered = NIOLockedValueBox(false)

    /// - Parameter environment: instead of the process's.
    /// - Throws: ``StreamFault`` with a sentence, where no region is known or a text is none.
    public init(_ target: Target, environment: [String: String]? = nil, logger: Logger) throws(StreamFault) {
        let environment = environment.map { AWSEnvironment($0) } ?? .process
        let endpoint = try Self.endpoint(of: target, environment)
        do throws(TransportFailure) {
            var configuration = TransportConfiguration(environment)
            configuration.niceness = SinkThread.niceness
            self.transport = try Transport(configuration)
            let credentials = Credentials(self.transport, environment: environment, logger: logger)
            self.client = KinesisClient(endpoint, self.transport, credentials, logger: logger)
        } catch {
            throw StreamFault(error.description)
        }
        self.target = target
        self.shards = KinesisShards(target.stream, self.client, logger)
        let bounds = PutRecordsBody.Limits()
        // What the form adds to each record, its key once more as a number above all, must fit in a call as well.
        self.limits =
            target.isAggregated
            ? PutLimits(records: 20_000, bytes: bounds.bytes / 2, recordBytes: bounds.recordBytes / 2)
            : PutLimits(records: bounds.records, bytes: bounds.bytes, recordBytes: bounds.recordBytes)
    }

    private static func endpoint(
        of target: Target,
        _ environment: AWSEnvironment
    ) throws(StreamFault) -> AWSEndpoint {
        do throws(TransportFailure) {
            return try AWSEndpoint(.kinesis, region: target.region, endpoint: target.endpoint, environment: environment)
        } catch {
            throw StreamFault(error.description)
        }
    }

    /// Whether a stream can be spoken to, as far as its texts and the process's environment say.
    public static func check(_ target: Target) throws(StreamFault) { _ = try self.endpoint(of: target, .process) }

    public func start() async { self.shards.refresh() }

    public func stop() async { await self.transport.shutdown() }

    public func lane(of key: ByteBuffer) -> Int { self.shards.lane(of: key) }

    nonisolated(nonsending) public func put(_ batch: RecordBatch) async -> PutOutcome {
        var call = self.target.isAggregated ? KinesisCall(aggregating: batch) : KinesisCall(batch)
        guard call.count > 0 else { return .answered(call.outcomes(of: [])) }
        let result = await self.client.putRecords(self.target.stream, call.takeBody())
        guard case .records(let entries) = result else { return self.outcome(of: result, records: batch.records.count) }
        for case .delivered(let shard, _) in entries {
            self.hasDelivered.withLockedValue { $0 = true }
            self.shards.saw(shard)
        }
        return .answered(call.outcomes(of: entries.map(Self.outcome)))
    }

    private static func outcome(of entry: AWSTransport.RecordOutcome) -> RecordOutcome {
        switch entry {
        case .delivered: .delivered
        case .throttled: .throttled
        case .failed(let code): Self.contentFaults.contains(code) ? .refused(reason: code) : .failed(code: code)
        }
    }

    /// What is wrong with what a call holds (Kinesis API reference, Common Errors and PutRecords).
    private static let contentFaults: Set<String> = [
        "ValidationException", "InvalidArgumentException", "SerializationException",
    ]

    private func outcome(of result: PutRecordsResult, records: Int) -> PutOutcome {
        switch result {
        case .records: .unavailable(Unavailability("an answer that was dealt with"))
        case .unknown(let why): .unavailable(Unavailability(Self.sentence(why)))
        case .notSent(let failure):
            .unavailable(
                Unavailability(
                    failure.description,
                    isConfigurationFault: [.configuration, .credentials, .untrusted].contains(failure.code)
                )
            )
        case .refused(let error) where error.isThrottle:
            .answered(Array(repeating: .throttled, count: records))
        case .refused(let error) where Self.contentFaults.contains(error.code) && self.mayBlame(records):
            .refused(reason: error.code)
        case .refused(let error):
            .unavailable(
                Unavailability(
                    "AWS answers \(error.status) \(error.code)",
                    isConfigurationFault: error.kind != .unavailable && error.kind != .clock
                )
            )
        }
    }

    /// A call is halved in any case; a record that is alone is to blame only where others were taken.
    private func mayBlame(_ records: Int) -> Bool { records > 1 || self.hasDelivered.withLockedValue { $0 } }

    private static func sentence(_ why: PutRecordsResult.Unknown) -> String {
        switch why {
        case .failed(let failure): failure.description
        case .serverError(let error): "AWS answers \(error.status) \(error.code)"
        case .unreadable(let status): "an answer with status \(status) that is not the API's"
        case .recordCount(let expected, let found): "an answer for \(found) records where \(expected) were sent"
        case .failureCount: "an answer whose count of failures is not that of its records"
        }
    }
}

/// Why a stream cannot be spoken to at all, in a sentence that says what to do.
public struct StreamFault: Error, Sendable, CustomStringConvertible {
    public let description: String

    init(_ sentence: String) { self.description = sentence }
}
