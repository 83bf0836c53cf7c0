// A service in JavaScript: plain JSON CloudEvents by kafkajs, structured and binary, with its own default partitioner.
import { Kafka, Partitioners, logLevel } from 'kafkajs'

const given = JSON.parse(process.argv[2])
const kafka = new Kafka({ clientId: 'a-service', brokers: [given.bootstrap], logLevel: logLevel.NOTHING })
const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner })
await producer.connect()
const { data, ...attributes } = given.event
const structured = {
  key: attributes.subject,
  headers: { 'content-type': 'application/cloudevents+json' },
  value: JSON.stringify({ ...given.event, id: 'structured' }),
}
const binary = {
  key: attributes.subject,
  headers: {
    ...Object.fromEntries(Object.entries({ ...attributes, id: 'binary' }).map(([name, value]) => [`ce_${name}`, value])),
    'content-type': 'application/json',
  },
  value: JSON.stringify(data),
}
const bad = { key: attributes.subject, value: JSON.stringify({ ...given.event, id: 'bad', data: { id: 5 } }) }
await producer.send({ topic: given.topic, acks: -1, messages: [structured, binary, bad, structured] })
await producer.disconnect()
console.log(JSON.stringify(true))
