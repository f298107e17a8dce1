"""The ingestion service accepts lists of IDs and dispatches their batches. It knows nothing of Azure Functions.

These words have a special meaning here:

- *lane*: one priority's queue, with one message for each ingestion that has not ended
- *slot*: one permitted batch start
- *gate*: the table row that grants slots; its *owner* wrote it last; it is *taken* and *released*
- *token*: a value that is fresh for every write of the gate; it fences the batch that the write starts
- *age*: a lower bound of the seconds since the gate was made; leases, back-offs and throttles end at ages
- *tick*: one firing of the dispatch timer
- *in flight*: a batch that was started and has not ended; it *runs* (its fetch is under way) or *waits* for an attempt
- *lease*: how long others leave a running batch alone
- *note*: a write of the gate's age and of its texts for people, and nothing else
- *sweep*: to remove the messages of ended ingestions, stale messages and foreign messages at a lane's front
- *throttled*: the external API has asked to wait or cannot be reached, so nothing starts
- *paused*: a person has paused a lane
- *upkeep*: the timer that closes ended ingestions, recovers lost messages and deletes old ingestions
- *closed*: an ended ingestion that has left the backlog for the history
"""
