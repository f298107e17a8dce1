targetScope = 'subscription'

@description('Name of this deployment. Every resource carries it as a tag, the resource group also in its name.')
@minLength(1)
@maxLength(40)
param environmentName string

@description('Azure region of every resource.')
param location string

@description('Address of the external API with {id} where the ID goes. Without one, the service makes up its data.')
param sourceUrl string = ''

@description('Name of the header that carries the key of the external API.')
param sourceKeyHeader string = 'Authorization'

@description('Value of that header, for example a bearer token. Without one, no header is sent.')
@secure()
param sourceKey string = ''

@description('Seconds between the starts of two batches; a fraction is allowed.')
param intervalSeconds string = '5'

@description('Days until an ended ingestion is deleted. 0 keeps all of them.')
@minValue(0)
param retentionDays int = 30

@description('Further app settings by name; they win over those above. Not for secrets: deployments are kept readable.')
param moreSettings object = {}

@description('E-mail address that alerts are sent to. Without one, they are visible in the portal only.')
param alertEmail string = ''

@description('Seconds for which the oldest HIGH list may wait for its first batch before an alert is raised.')
@minValue(60)
param highWaitSeconds int = 900

@description('Object ID of a person or group that may read and write the tables and queues. Empty for nobody.')
param principalId string = ''

var tags = { 'azd-env-name': environmentName }

resource group 'Microsoft.Resources/resourceGroups@2024-11-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module service 'service.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    suffix: take(toLower(uniqueString(subscription().id, environmentName, location)), 13)
    sourceUrl: sourceUrl
    sourceKeyHeader: sourceKeyHeader
    sourceKey: sourceKey
    intervalSeconds: intervalSeconds
    retentionDays: retentionDays
    moreSettings: moreSettings
    principalId: principalId
  }
}

module alerts 'alerts.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    workspaceId: service.outputs.workspaceId
    email: alertEmail
    highWaitSeconds: highWaitSeconds
  }
}

output AZURE_FUNCTION_NAME string = service.outputs.siteName
output SERVICE_URL string = service.outputs.url
