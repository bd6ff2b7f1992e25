public import AWSTransport

/// One stream's reading calls, and what their refusals mean to a reader.
public struct KinesisCalls: Sendable {
    enum Fault: Error {
        /// The iterator is older than five minutes.
        case expired
        /// The position is not, or no longer, in the shard.
        case noSuchPosition
        /// More than five reads a second or 2 MiB/s of a shard.
        case throttled
        case other(StreamFailure)
    }

    /// The end of a closed shard, as its position.
    static let shardEnd = "SHARD_END"

    private let client: KinesisClient
    private let stream: String

    /// - Parameter stream: its name or its ARN.
    public init(_ client: KinesisClient, stream: String) {
        self.client = client
        self.stream = stream
    }

    func shards() async throws(Fault) -> [Shard] {
        do throws(AWSCallFailure) { return try await self.client.listShards(self.stream) } catch {
            throw self.fault(error)
        }
    }

    /// - Parameter sequence: of the last record that was read; nil begins at the oldest one.
    func iterator(_ shard: String, after sequence: String?) async throws(Fault) -> String {
        let position = sequence.map { ShardPosition.after(sequenceNumber: $0) } ?? .oldest
        do throws(AWSCallFailure) {
            return try await self.client.getShardIterator(self.stream, shard: shard, from: position)
        } catch {
            if case .refused(let refusal) = error, refusal.code == "InvalidArgumentException" { throw .noSuchPosition }
            throw self.fault(error)
        }
    }

    func records(_ iterator: String, limit: Int) async throws(Fault) -> KinesisRecords {
        do throws(AWSCallFailure) { return try await self.client.getRecords(iterator, limit: limit) } catch {
            throw self.fault(error)
        }
    }

    private func fault(_ failure: AWSCallFailure) -> Fault {
        switch failure {
        case .refused(let error) where error.code == "ExpiredIteratorException": .expired
        case .refused(let error) where error.isThrottle: .throttled
        case .refused(let error): .other(StreamFailure("kinesis:\(self.stream): \(error)"))
        case .failed(let failure): .other(StreamFailure("kinesis:\(self.stream): \(failure)"))
        case .unreadable(let status):
            .other(StreamFailure("kinesis:\(self.stream): an answer with status \(status) can't be read"))
        }
    }
}
