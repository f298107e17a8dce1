@description('Azure region of the alert rules.')
param location string
param tags object

@description('Resource ID of the Log Analytics workspace that receives the log.')
param workspaceId string

@description('E-mail address that alerts are sent to. Empty for nobody.')
param email string

@description('Seconds for which the oldest HIGH list may wait.')
param highWaitSeconds int

// A table exists only after its first row has arrived, so each query brings an empty one of its own.
var noLines = 'datatable(TimeGenerated: datetime, Message: string, SeverityLevel: int)[]'
var lines = 'union isfuzzy=true (${noLines}), (AppTraces)'
var state = '${lines} | where Message startswith "service.state "'

// A list may wait in a lane that somebody has paused.
var highIsOpen = 'not(Message matches regex "paused=[^ ]*(HIGH|ALL)")'
var highWait = 'toint(extract("high_wait_seconds=([0-9]+)", 1, Message))'
var poisonMessages = 'toint(extract("poison_messages=([0-9]+)", 1, Message))'
var failedLines = '${lines} | where Message startswith "dispatch." and SeverityLevel >= 3 | project TimeGenerated'
var failedRuns = 'AppRequests | where OperationName == "dispatch" and Success == false | project TimeGenerated'

// docs/operations.md says what each alert means and what to do.
var rules = [
  {
    name: 'dispatch-silent'
    description: 'The dispatcher has written nothing for ten minutes. Nothing is being processed.'
    severity: 1
    every: 'PT5M'
    window: 'PT10M'
    query: '${state} | summarize found = count()'
    operator: 'LessThan'
    threshold: 1
  }
  {
    name: 'dispatch-fails'
    description: 'The dispatcher runs and fails: storage, a setting or the code is at fault.'
    severity: 1
    every: 'PT5M'
    window: 'PT10M'
    query: 'union isfuzzy=true (${failedLines}), (${failedRuns}) | summarize found = count()'
    operator: 'GreaterThan'
    threshold: 5
  }
  {
    name: 'high-waits'
    description: 'The oldest HIGH list of which nothing has started has been waiting for longer than it should.'
    severity: 2
    every: 'PT15M'
    window: 'PT15M'
    query: '${state} | where ${highIsOpen} | summarize found = max(${highWait})'
    operator: 'GreaterThan'
    threshold: highWaitSeconds
  }
  {
    name: 'poison-not-empty'
    description: 'A poison queue holds messages: batches have failed, or a message could not be read.'
    severity: 3
    every: 'PT15M'
    window: 'PT15M'
    query: '${state} | summarize found = max(${poisonMessages})'
    operator: 'GreaterThan'
    threshold: 0
  }
]

resource operators 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(email)) {
  name: 'ag-ingestion'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'ingestion'
    enabled: true
    emailReceivers: [
      {
        name: 'operator'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for rule in rules: {
    name: rule.name
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: 'Ingestion: ${rule.name}'
      description: rule.description
      severity: rule.severity
      enabled: true
      scopes: [workspaceId]
      evaluationFrequency: rule.every
      windowSize: rule.window
      criteria: {
        allOf: [
          {
            query: rule.query
            metricMeasureColumn: 'found'
            timeAggregation: 'Maximum'
            operator: rule.operator
            threshold: rule.threshold
            failingPeriods: {
              numberOfEvaluationPeriods: 1
              minFailingPeriodsToAlert: 1
            }
          }
        ]
      }
      autoMitigate: true
      skipQueryValidation: true
      actions: { actionGroups: empty(email) ? [] : [operators.id] }
    }
  }
]
