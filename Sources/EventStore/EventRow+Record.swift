import StreamSource
import SwiftProtobuf
import TrackingModel

/// From a stream's record to a row.
extension EventRow {
    /// A longer message id is none, in bytes.
    static let maximumIDBytes = 256

    init(_ record: StreamRecord) throws(Damage) {
        let event: Adtrack_TrackingEvent
        do {
            event = try Adtrack_TrackingEvent(serializedBytes: record.bytes)
        } catch {
            throw Damage(.undecodable, "The bytes are no TrackingEvent of Protos/tracking.proto.")
        }
        self.init(event)
        guard !self.messageID.isEmpty else { throw Damage(.noMessageID, "The event has no message id.") }
        guard self.messageID.utf8.count <= Self.maximumIDBytes else {
            throw Damage(.noMessageID, "The message id is longer than \(Self.maximumIDBytes) bytes.")
        }
        // Where a table takes text as C does, it would end there, and two ids could become one.
        guard !self.texts.contains(where: { $0.utf8.contains(0) }) else {
            throw Damage(.notStorable, "A text of the event holds a NUL.")
        }
    }

    private init(_ event: Adtrack_TrackingEvent) {
        self.messageID = event.messageID
        self.programID = event.programid
        self.checksum = event.checksum
        self.customerID = event.customerID
        self.userAgent = event.userAgent
        self.programName = event.programName
        self.customerName = event.customerName
        self.isValid = event.isValid
        self.eventType = event.eventType.word
        self.time = event.time
        self.parameters = event.parameters
        self.referrer = event.referrer
        self.clientAddress = event.clientAddress
        self.programVersion = event.programVersion
    }

    private var texts: [String] {
        [
            self.messageID, self.programID, self.checksum, self.userAgent, self.programName, self.customerName,
            self.referrer, self.clientAddress,
        ]
    }

    /// As a JSON object, the names sorted.
    var parametersJSON: String {
        if self.parameters.isEmpty { return "{}" }
        var json = JSONText()
        json.beginObject()
        for (name, value) in self.parameters.sorted(by: { $0.key < $1.key }) { json.field(name, value) }
        json.endObject()
        return String(decoding: json.bytes, as: UTF8.self)
    }
}

extension Adtrack_EventType {
    fileprivate var word: String {
        switch self {
        case .click: "click"
        case .impression: "impression"
        case .conversion: "conversion"
        case .UNRECOGNIZED(let number): "\(number)"
        }
    }
}
