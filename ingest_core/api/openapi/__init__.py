"""The OpenAPI document: what the API takes and gives, made from models, which the tests hold every answer against."""
