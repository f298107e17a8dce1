"""The ingestion service: accepts lists of IDs and dispatches their batches; knows nothing of Azure Functions.

The words, where they are not the field's own:

- *lane*: one priority's queue, with one message for each ingestion that has not finished
- *slot*: one permitted batch start, numbered; its number is the fencing token of whatever the start writes
- *gate*: the table row that grants slots; its *incumbent* is the process that wrote it last
- *tick*: one firing of the dispatch timer, which uses at most one slot
- *glimpse*: what a look into the lanes found; *turn*: the ingestion whose batch is next; *work*: that batch, marked
- *flight*: the batch at an ingestion's cursor, from its first start until it ends, over all its attempts
- *held*: the API has asked to wait, and the gate stays closed for all lanes
- *sweep*: to remove a message at a lane's front that stands for no work
"""
