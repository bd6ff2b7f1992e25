import NIOCore

/// A mark sent through a channel to learn when everything before it has arrived; one at a time.
struct Fence {
    private var count: UInt64 = 0
    private var waiting: (payload: String, completion: (_ passed: Bool) -> Void)?

    /// - Returns: what to send. `completion` is called once: whether it came back.
    mutating func raise(_ completion: @escaping (_ passed: Bool) -> Void) -> String {
        giveUp()
        count += 1
        let payload = "fence-\(count)"
        waiting = (payload, completion)
        return payload
    }

    mutating func passed(_ payload: ByteBuffer) {
        guard let raised = waiting, payload.readableBytesView.elementsEqual(raised.payload.utf8) else { return }
        waiting = nil
        raised.completion(true)
    }

    mutating func giveUp() {
        let raised = waiting
        waiting = nil
        raised?.completion(false)
    }
}
